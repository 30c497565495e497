"""Tables in specs: a search is known by a table's content, not by where it lies; and a real run on one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import SpecError
from orchestrator.spec import Plan, load
from tests.orchestrator.command import coldframe, process
from tests.trainers import tables
from trainers import table

SPEC = """
name = "tabular"
seed = 2
[strategy]
name = "econas"
initial = 6
cycles = 2
children = 3
promoted_to_2e = 2
promoted_to_3e = 1
epochs = 2
[space]
name = "cell"
nodes = 1
operations = ["skip_connect", "sep_conv_3x3"]
[trainer]
name = "tabular"
table = "{table}"
column = "valid"
epochs = 6
"""


def write(folder: Path, path: str | Path, text: str = SPEC, name: str = "spec.toml") -> Path:
    spec = folder / name
    spec.write_text(text.format(table=path))
    return spec


def planned(folder: Path, path: str | Path, text: str = SPEC) -> Plan:
    return load(write(folder, path, text))


def problems(folder: Path, path: str | Path, text: str = SPEC) -> str:
    with pytest.raises(SpecError) as caught:
        planned(folder, path, text)
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_a_search_has_the_tables_digest_and_the_plan_its_place(tmp_path: Path) -> None:
    path = tables.write(tmp_path)
    found, digest = planned(tmp_path, path), table.fingerprint(path)
    assert found.spec.trainer.options["table"] == digest
    assert found.tables == {digest: str(path)}
    assert found.data.name == "table", "no data need be named"


def test_where_a_table_lies_makes_no_other_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tables.write(tmp_path)
    first = planned(tmp_path, path)
    (tmp_path / "home").mkdir()
    path.rename(tmp_path / "home" / "moved.npz")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLDFRAME_TEST_TABLE", str(tmp_path / "home" / "moved.npz"))
    for written in ("~/moved.npz", "$COLDFRAME_TEST_TABLE"):
        found = planned(tmp_path, written)
        assert found.id == first.id
        assert found.spec == first.spec
        assert list(found.tables.values()) == [str(tmp_path / "home" / "moved.npz")]
    tables.write(tmp_path, test=None)
    assert planned(tmp_path, path).id != first.id, "another content is another search"


def test_a_references_table_is_known_by_its_content_too(tmp_path: Path) -> None:
    path = tables.write(tmp_path)
    cell = SPEC.replace('name = "tabular"\ntable = "{table}"\ncolumn = "valid"\nepochs = 6', 'name = "scripted"')
    reference = '[reference.trainer]\nname = "tabular"\ntable = "{table}"\ncolumn = "valid"\nepochs = 6\n'
    found = planned(tmp_path, path, cell + '[data]\nname = "digits"\n' + reference)
    assert found.spec.reference is not None
    assert found.spec.reference.trainer is not None
    assert found.spec.reference.trainer.options["table"] == table.fingerprint(path)
    assert found.spec.reference.trainer.options["gap"] == 0.5, "defaults are written out"
    assert found.tables == {table.fingerprint(path): str(path)}
    wrong = problems(tmp_path, tmp_path / "gone.npz", cell + '[data]\nname = "digits"\n' + reference)
    assert "reference.trainer" in wrong
    assert "gone.npz" in wrong


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"valid": None}, "valid: there is no such column of accuracies; expected one of test"),
        ({"parameters": None}, "parameters: it is not there"),
        ({"genes": None}, "either arch (strings) or genes"),
    ],
)
def test_a_table_that_cannot_be_used_is_a_problem_of_the_spec(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    path = tables.write(tmp_path, **change)
    found = problems(tmp_path, path)
    assert f"trainer table {path}: " in found
    assert said in found


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("/nowhere/table.npz", "/nowhere/table.npz: expected a file that can be read, .npz or .parquet"),
        ("$COLDFRAME_UNSET_TABLE", "names $COLDFRAME_UNSET_TABLE, which is not set"),
        ("", "at least 1 character"),
    ],
)
def test_a_table_that_is_not_there_is_a_problem_of_the_spec(tmp_path: Path, written: str, said: str) -> None:
    assert said in problems(tmp_path, written)


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    text = SPEC.replace("children = 3", "children = 0").replace('name = "cell"', 'name = "sell"')
    found = problems(tmp_path, "/nowhere/table.npz", text)
    assert all(word in found for word in ("strategy.children", "sell", "/nowhere/table.npz"))


def test_only_a_tabular_trainer_goes_without_data(tmp_path: Path) -> None:
    scripted = SPEC.replace('name = "tabular"\ntable = "{table}"\ncolumn = "valid"\nepochs = 6', 'name = "scripted"')
    assert "data is missing" in problems(tmp_path, "", scripted)
    assert "data.name is not known" in problems(tmp_path, "", scripted + '[data]\nname = "table"\n')
    path = tables.write(tmp_path)
    assert planned(tmp_path, path, SPEC + '[data]\nname = "table"\n').id == planned(tmp_path, path).id


def test_a_table_is_searched_through_real_workers_and_from_another_place_nothing_is_asked_again(tmp_path: Path) -> None:
    path, store = tables.write(tmp_path), tmp_path / "store"
    ended = process("run", write(tmp_path, path), "--store", store, "--json")
    assert ended.code == 0, ended.err
    totals = ended.json["totals"]
    assert (totals["epochs_trained"], totals["epochs_resumed_over"] > 0) == (ended.json["totals"]["jobs"] * 2, True)
    assert ended.json["best"]["epochs"] == 6
    assert coldframe("check", "--store", store).code == 0

    moved = path.rename(tmp_path / "moved.npz")
    again = write(tmp_path, moved, SPEC.replace('name = "tabular"\nseed', 'name = "again"\nseed'), "again.toml")
    repeated = process("run", again, "--store", store, "--json").json
    assert (repeated["totals"]["jobs"], repeated["best"]) == (0, ended.json["best"])
