"""`coldframe run`, as a process: its JSON, its report, its refusals."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.orchestrator.command import REPOSITORY, coldframe, process
from tests.trainers import pictures

SPEC = """
name = "{name}"
[strategy]
name = "random"
candidates = {samples}
epochs = 2
[space]
name = "cell"
[trainer]
name = "scripted"
[data]
name = "digits"
"""


def spec(folder: Path, name: str = "small", *, samples: int = 3) -> Path:
    path = folder / f"{name}.toml"
    path.write_text(SPEC.format(name=name, samples=samples))
    return path


def test_run_ends_with_one_json_object_and_a_report(tmp_path: Path) -> None:
    ended = process("run", spec(tmp_path), "--store", tmp_path / "store", "--json", "--report", tmp_path / "report")
    assert ended.code == 0, ended.err
    found = ended.json
    assert set(found) == {"search", "name", "status", "best", "totals"}
    assert (found["name"], found["status"]) == ("small", "finished")
    assert (found["totals"]["requests"], found["totals"]["epochs_trained"]) == (3, 6)
    assert found["best"]["epochs"] == 2
    assert len(found["best"]["checkpoint"]) == 64
    assert "search small" in ended.err, "what people read goes to stderr"
    assert (tmp_path / "report" / "report.html").stat().st_size > 0


def test_a_second_search_for_the_same_candidates_trains_nothing_and_says_so(tmp_path: Path) -> None:
    store = tmp_path / "store"
    first = process("run", spec(tmp_path, "first"), "--store", store, "--json").json
    second = process("run", spec(tmp_path, "second"), "--store", store)
    assert second.code == 0, second.err
    assert "Nothing was trained: the store had every answer." in second.out
    assert "epochs: 0 trained, 0 saved by resuming, 6 saved by memo" in second.out
    assert process("run", spec(tmp_path, "second"), "--store", store, "--json").json["best"] == first["best"]


BROKEN = """
name = "broken"
[strategy]
name = "random"
candidates = 2
epochs = 1
[space]
name = "nasbench201"
[data]
name = "image_folder"
path = "{path}"
image_size = 8
[proxy]
channels = 2
cells = 5
[resources]
workers = 1
device = "cpu"
"""


def test_a_search_in_which_every_network_failed_says_why_and_ends_with_1(tmp_path: Path) -> None:
    """Guards a broken image, which fails every training: the search is finished, and found nothing."""
    (pictures.folder(tmp_path / "images") / "class1" / "2.png").write_bytes(b"no picture")
    path = tmp_path / "broken.toml"
    path.write_text(BROKEN.format(path=tmp_path / "images"))
    ended = process("run", path, "--store", tmp_path / "store", "--json")
    assert ended.code == 1
    assert (ended.json["status"], ended.json["best"]) == ("finished", None)
    last = ended.err.splitlines()[-1]
    assert "search broken found nothing: every network failed, the first: bad_request: " in last
    for said in ("class1/2.png", "data.skip_broken = true"):
        assert said in last
    again = coldframe("run", path, "--store", tmp_path / "store")
    assert (again.code, again.err.splitlines()[-1]) == (1, last), "asked again, it still has nothing"


def test_one_network_that_did_not_fail_is_something_to_show(tmp_path: Path) -> None:
    path = spec(tmp_path, samples=6)
    path.write_text(path.read_text() + '[resources]\nretries = 0\n[[faults]]\nkind = "error"\nevery = 3\n')
    ended = process("run", path, "--store", tmp_path / "store", "--json")
    assert (ended.code, ended.json["best"] is None) == (0, False), ended.err


def test_a_search_whose_lines_cannot_be_written_is_finished_all_the_same(tmp_path: Path) -> None:
    """Guards `coldframe run SPEC > log` on a full disk; only the conclusion, which cannot be printed, is an error."""
    command = [sys.executable, "-m", "orchestrator.cli", "run", str(spec(tmp_path)), "--store", str(tmp_path / "store")]
    with open("/dev/full", "w") as full:
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, cwd=REPOSITORY, check=False)
    assert (ended.returncode, ended.stderr) == (74, "coldframe: [Errno 28] No space left on device\n")
    assert coldframe("status", "--store", tmp_path / "store", "--json").json["status"] == "finished"


def test_a_name_that_the_encoding_lacks_is_no_error(tmp_path: Path) -> None:
    path = spec(tmp_path)
    path.write_text(path.read_text().replace("small", "a→b"))
    ended = process("run", path, "--store", tmp_path / "store", PYTHONIOENCODING="latin-1:strict")
    assert ended.code == 0, ended.err
    assert "search a\\u2192b" in ended.out


def test_a_spec_that_cannot_be_used_is_refused_with_all_that_is_wrong(tmp_path: Path) -> None:
    path = spec(tmp_path)
    path.write_text(path.read_text().replace("candidates", "candidats") + "[resources]\nworkers = 0\n")
    ended = process("run", path, "--store", tmp_path / "store", "--json")
    assert ended.code == 2
    assert ended.json["error"]["kind"] == "SpecError"
    for named in (str(path), "candidats", "resources.workers"):
        assert named in ended.err
    assert not (tmp_path / "store").exists()
