"""Specs that nobody should hand in: each is refused with its key and a reason, and leaves no row."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.api.client import local, problem_keys
from tests.api.fake import Served, configured, serving, spec
from tests.api.thread import InThread

PLAIN = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
)
JSON = st.recursive(PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner))
NAMES = ["random", "cell", "scripted", "digits", "econas", "os:system", "__import__", "../../x", "/etc/passwd", "table"]
KEYS = ["name", "seed", "strategy", "space", "trainer", "data", "proxy", "recipe", "reference", "resources", "faults"]
KEYS += ["options", "path", "table", "epochs", "candidates", "channels", "workers"]
LIKELY = JSON | st.sampled_from(NAMES) | st.dictionaries(st.sampled_from(KEYS), JSON | st.sampled_from(NAMES))


@st.composite
def mutated(draw: st.DrawFn) -> dict[str, Any]:
    """A sound spec with one to three of its values replaced, removed or added."""
    found: dict[str, Any] = copy.deepcopy(spec())
    for _ in range(draw(st.integers(1, 3))):
        table = found
        if draw(st.booleans()):
            tables = [key for key, value in found.items() if isinstance(value, dict)]
            table = found[draw(st.sampled_from(tables))] if tables else found
        key = draw(st.sampled_from([*table, *KEYS]))
        if draw(st.booleans()):
            table[key] = draw(LIKELY)
        else:
            table.pop(key, None)
    return found


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"strategy": {"name": "os:system"}}, "strategy"),
        ({"strategy": {"name": "random", "candidates": "many", "epochs": 1}}, "strategy.candidates"),
        ({"space": {"name": "../../etc"}}, "space"),
        ({"trainer": {"name": "builtins.eval"}}, "trainer"),
        ({"data": {"name": "mine:load"}}, "data"),
        ({"data": {"name": "npz"}}, "data"),
        ({"name": ""}, "name"),
        ({"seed": -1}, "seed"),
        ({"more": 1}, "more"),
    ],
)
async def test_a_spec_is_refused_with_the_key_that_is_wrong(tmp_path: Path, change: dict[str, Any], key: str) -> None:
    async with serving(configured(tmp_path, tcp=False)) as served, local(served) as http:
        before = served.daemon.store.journal.count
        answer = await http.post("/v1/searches", json={"spec": spec() | change, "file": "mine.toml"})
        assert answer.status_code == 422, answer.text
        assert any(found.startswith(key) for found in problem_keys(answer)), answer.text
        error = answer.json()["error"]
        assert (error["kind"], error["exit_code"]) == ("SpecError", 2)
        assert "mine.toml" in error["message"]
        assert all(problem["expected"] for problem in error["problems"])
        assert served.daemon.store.journal.count == before


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with InThread(tmp_path_factory.mktemp("served")) as found:
        yield found


def hand_in(served: Served, one: dict[str, Any]) -> None:
    """What is taken leaves its two rows, what is known none, and so does what is refused."""
    before = served.daemon.store.journal.count
    with httpx.Client(transport=httpx.HTTPTransport(uds=served.endpoint.socket), base_url="http://coldframe") as http:
        answer = http.post("/v1/searches", json={"spec": one}, timeout=30)
    rows = served.daemon.store.journal.count - before
    if answer.status_code in {200, 201}:
        assert rows == (2 if answer.status_code == 201 else 0)
        return
    assert answer.status_code in {400, 422}, (one, answer.text)
    error = answer.json()["error"]
    assert error["message"]
    assert answer.status_code == 400 or error["problems"], one
    assert rows == 0


BRIEF = settings(max_examples=8, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))


@BRIEF
@given(one=mutated() | st.dictionaries(st.sampled_from(KEYS), LIKELY))
def test_whatever_a_spec_holds_it_is_taken_or_refused(served: Served, one: dict[str, Any]) -> None:
    hand_in(served, one)


@pytest.mark.faults
@pytest.mark.timeout(600)
@settings(BRIEF, max_examples=300)
@given(one=mutated() | st.dictionaries(st.sampled_from(KEYS), LIKELY) | st.dictionaries(st.text(max_size=5), JSON))
def test_whatever_a_spec_holds_it_is_taken_or_refused_at_length(served: Served, one: dict[str, Any]) -> None:
    hand_in(served, one)
