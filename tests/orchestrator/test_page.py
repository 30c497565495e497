"""The page's server side, without a browser: its files, its charts' numbers, its drawings."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette

from orchestrator.api import charts, page
from orchestrator.api.cells import Cells
from orchestrator.views import CandidateView, Step

ROOT = Path(__file__).parents[2]
STATIC = ROOT / "orchestrator" / "api" / "static"
BENCH = "|nor_conv_3x3~0|+|none~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_1x1~1|skip_connect~2|"


@pytest.fixture
def client() -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(Starlette(routes=page.routes())), base_url="http://localhost"
    )


async def test_the_page_and_all_that_it_names_are_served_under_a_strict_policy(client: httpx.AsyncClient) -> None:
    answer = await client.get("/")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    named = set(re.findall(r'(?:href|src)="(/static/[^"]+)"', answer.text))
    assert named == {"/static/icon.svg", "/static/style.css", "/static/app.js"}
    for name in sorted(path.name for path in STATIC.iterdir()):
        if name == page.PAGE:
            continue
        part = await client.get(f"/static/{name}")
        assert part.status_code == 200
        assert part.headers["content-security-policy"].startswith("default-src 'self'; img-src 'self' blob:;")
        assert "unsafe" not in part.headers["content-security-policy"]
        assert part.headers["x-content-type-options"] == "nosniff"
        assert part.content == (STATIC / name).read_bytes()


async def test_a_file_that_the_browser_has_is_not_sent_again(client: httpx.AsyncClient) -> None:
    first = await client.get("/static/app.js")
    again = await client.get("/static/app.js", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    other = await client.get("/static/app.js", headers={"If-None-Match": '"other"'})
    assert other.status_code == 200


@pytest.mark.parametrize("path", ["/static/../page.py", "/static/%2e%2e/page.py", "/static/", "/static/nothing.js"])
async def test_no_other_file_is_served(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(path)).status_code == 404


def test_the_page_has_nothing_inline_and_names_no_other_host() -> None:
    text = (STATIC / page.PAGE).read_text()
    assert not re.search(r"<style|\sstyle=|\son\w+=", text)
    assert all("src=" in tag for tag in re.findall(r"<script[^>]*>", text))
    for path in STATIC.iterdir():
        addresses = set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"')]*", path.read_text()))
        assert addresses <= {"http://www.w3.org/2000/svg"}, path.name


def test_scripts_import_what_is_there_and_never_parse_text_as_markup() -> None:
    for path in STATIC.glob("*.js"):
        text = path.read_text()
        for name in re.findall(r'from "\./([^"]+)"', text):
            assert (STATIC / name).is_file(), f"{path.name} imports {name}"
        banned = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|text/html|localStorage"
        assert not re.search(banned, text), path.name
        assert len(text.splitlines()) <= 400, path.name


def test_the_wheel_has_the_page() -> None:
    wheel = pytest.importorskip("hatchling.builders.wheel")
    builder = wheel.WheelBuilder(str(ROOT))
    carried = {file.distribution_path for file in builder.recurse_selected_project_files()}
    assert {f"orchestrator/api/static/{path.name}" for path in STATIC.iterdir()} <= carried


def step(epochs: int, accuracy: float, seconds: float, candidate: str = "c") -> Step:
    return Step(spent=0, epochs=epochs, accuracy=accuracy, best=accuracy, candidate=candidate, seconds=seconds)


def test_each_rung_has_its_mean_and_its_best_over_time() -> None:
    steps = [step(2, 0.2, 1.0, "a"), step(2, 0.4, 2.0, "b"), step(4, 0.6, 3.0, "b"), step(2, 0.3, 4.0, "c")]
    low, high = charts.rungs(steps)
    assert low["points"] == [[1.0, 0.2, 0.2], [2.0, 0.3, 0.4], [4.0, 0.3, 0.4]]
    assert (low["epochs"], low["candidates"], low["best"]) == (2, 3, 0.4)
    assert (high["epochs"], high["candidates"], high["points"]) == (4, 1, [[3.0, 0.6, 0.6]])
    assert charts.rungs([]) == []


def test_a_long_rung_is_told_in_few_points_and_its_mean_follows_the_latest() -> None:
    steps = [step(2, 0.1, float(at)) for at in range(1000)] + [step(2, 0.9, 1000.0 + at) for at in range(charts.LATEST)]
    (rung,) = charts.rungs(steps)
    assert len(rung["points"]) == charts.POINTS
    assert rung["points"][-1] == [1000.0 + charts.LATEST - 1, 0.9, 0.9]


def candidate(index: int, accuracy: float | None, failure: str | None = None) -> CandidateView:
    return CandidateView(
        index=index,
        candidate=f"{index:x}",
        architecture={},
        epochs=1,
        accuracy=accuracy,
        checkpoint=None,
        parameters=None,
        multiply_adds=None,
        failure=failure,
    )


def test_candidates_are_counted_and_the_best_so_far_rises() -> None:
    found = [
        candidate(0, 0.2),
        candidate(1, None, "diverged"),
        candidate(2, 0.1),
        candidate(3, 0.5),
        candidate(4, None),
    ]
    assert charts.candidates(found) == {
        "total": 5,
        "scored": 3,
        "failed": 1,
        "points": [[0, 0.2], [2, 0.1], [3, 0.5]],
        "best": [[0, 0.2], [3, 0.5]],
    }


def test_of_thousands_of_candidates_some_are_drawn_and_every_best_one() -> None:
    found = [candidate(index, 0.99 if index == 1234 else index % 7 / 10) for index in range(5000)]
    told = charts.candidates(found)
    assert (told["total"], told["scored"]) == (5000, 5000)
    assert len(told["points"]) <= charts.DOTS + len(told["best"])
    assert [1234, 0.99] in told["points"]
    assert told["best"][-1] == [1234, 0.99]


@given(st.integers(0, 400), st.integers(1, 60))
def test_thinning_keeps_the_order_the_last_and_at_most_so_many(length: int, most: int) -> None:
    items = list(range(length))
    kept = charts.thinned(items, most)
    assert len(kept) == min(length, most)
    assert kept == sorted(set(kept))
    assert kept[-1:] == items[-1:]


CELL = {
    "normal": [["sep_conv_3x3", 0], ["skip_connect", 1], ["none", 0], ["max_pool_3x3", 2]],
    "normal_concat": [2, 3],
    "reduce": [["dil_conv_3x3", 0], ["sep_conv_5x5", 1], ["avg_pool_3x3", 0], ["sep_conv_3x3", 2]],
    "reduce_concat": [2, 3],
}


@pytest.mark.parametrize(
    ("genotype", "words"), [({"arch": BENCH}, "conv 3x3 of node 0"), (CELL, "Reduction cell: node 0")]
)
async def test_a_cell_is_drawn_once_and_told_in_its_title(genotype: dict[str, Any], words: str) -> None:
    cells = Cells()
    drawn = await cells.svg(genotype)
    assert drawn is not None
    root = ElementTree.fromstring(drawn)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert words in (root.findtext("{http://www.w3.org/2000/svg}title") or "")
    assert await cells.svg(dict(genotype)) is drawn


async def test_a_network_of_a_kind_without_drawing_has_none() -> None:
    assert await Cells().svg({"anything": 1}) is None
