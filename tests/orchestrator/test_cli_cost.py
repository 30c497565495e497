"""`coldframe cost` against the published counts (parameters of fixed networks on CIFAR-10)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from strategies.spaces.published import PUBLISHED
from strategies.spaces.published_mobile import PUBLISHED_MOBILE
from tests.orchestrator.command import coldframe


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["DARTS_V2"], (3_349_342, 528_359_040)),
        (["DARTS_V2", "--auxiliary"], (3_825_768, 528_359_040)),
        (["DARTS_V2", "--concat", "loose"], (3_012_238, 475_273_440)),
        (["SETN", "--channels", "36"], (4_619_206, 722_392_704)),
    ],
)
def test_published_cells_cost_what_was_published(options: list[str], expected: tuple[int, int]) -> None:
    name, *more = options
    settings = ["--cells", "20", "--resolution", "32", "--classes", "10"]
    ended = coldframe("cost", "--genotype", name, *settings, *more, "--json")
    assert ended.code == 0, ended.err
    assert ended.json == dict(zip(("parameters", "multiply_adds"), expected, strict=True))


def test_a_file_costs_the_same_as_the_name_that_it_spells_out(tmp_path: Path) -> None:
    file = tmp_path / "cell.json"
    file.write_text(json.dumps(PUBLISHED["AmoebaNet"].to_json() | {"normal_concat": "loose", "reduce_concat": "loose"}))
    ended = coldframe("cost", "--genotype", file, "--channels", "8", "--resolution", "8", "--json")
    assert ended.json == {"parameters": 198_498, "multiply_adds": 2_046_400}


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("not json", "is not JSON"),
        ('{"normal": [["sep_conv_9x9", 0], ["none", 1]], "reduce": []}', "sep_conv_9x9"),
        ("[1, 2]", "expected an object"),
        ("[" * 100_000, "is not JSON"),
    ],
)
def test_a_file_that_holds_no_genotype_is_refused_by_name_and_reason(tmp_path: Path, content: str, named: str) -> None:
    file = tmp_path / "cell.json"
    file.write_text(content)
    ended = coldframe("cost", "--genotype", file, "--json")
    assert ended.code == 2
    assert str(file) in ended.err
    assert named in ended.json["error"]["message"]


def test_a_name_that_is_no_genotype_lists_those_that_are() -> None:
    ended = coldframe("cost", "--genotype", "DARTS_V3")
    assert ended.code == 2
    assert all(name in ended.err for name in ("DARTS_V3", "DARTS_V2", "AmoebaNet"))


def test_a_folder_is_no_genotype(tmp_path: Path) -> None:
    ended = coldframe("cost", "--genotype", tmp_path, "--json")
    assert ended.code == 2
    assert "Is a directory" in ended.json["error"]["message"]


@pytest.mark.parametrize("option", ["--channels", "--resolution", "--classes", "--input-channels"])
def test_sizes_beyond_what_can_be_counted_are_refused_by_option(option: str) -> None:
    ended = coldframe("cost", "--genotype", "DARTS_V2", option, str(10**18))
    assert ended.code == 2
    assert option in ended.err
    assert "99999" in ended.err


def test_an_auxiliary_head_that_does_not_fit_is_refused() -> None:
    ended = coldframe("cost", "--genotype", "DARTS_V2", "--resolution", "8", "--auxiliary")
    assert ended.code == 2
    assert "Traceback" not in ended.err


DENSE = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], (1_531_546, 220_119_680)),
        (["--channels", "16", "--cells", "17", "--resolution", "32", "--classes", "10"], (1_531_546, 220_119_680)),
    ],
)
def test_a_cell_of_nasbench201_costs_what_its_table_says(options: list[str], expected: tuple[int, int]) -> None:
    """Facts C; the benchmark's own setting is what is counted if nothing else is asked for."""
    ended = coldframe("cost", "--space", "nasbench201", "--genotype", DENSE, *options, "--json")
    assert ended.json == dict(zip(("parameters", "multiply_adds"), expected, strict=True))


def test_a_cell_of_nasbench201_can_stand_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "cell.txt"
    file.write_text(DENSE.replace("nor_conv_3x3", "skip_connect") + "\n")
    ended = coldframe("cost", "--space", "nasbench201", "--genotype", file, "--json")
    assert ended.json == {"parameters": 73_306, "multiply_adds": 7_783_040}


def test_an_imagenet_network_costs_what_was_published() -> None:
    """SETN, Table 3."""
    settings = ["--channels", "58", "--cells", "8", "--resolution", "224", "--classes", "1000", "--stem", "imagenet"]
    ended = coldframe("cost", "--genotype", "SETN", *settings, "--json")
    assert ended.json == {"parameters": 5_340_451, "multiply_adds": 599_748_768}


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--genotype", DENSE.replace("~2", "~3")], "node 3: got"),
        (["--genotype", "DARTS_V2"], "nor a string like |nor_conv_3x3~0|"),
        (["--genotype", DENSE, "--cells", "20", "--resolution", "18"], "proxy.resolution is 18"),
        (["--genotype", DENSE, "--cells", "7"], "proxy.cells is 7: expected 3N + 2"),
        (["--genotype", DENSE, "--stem", "imagenet", "--resolution", "224"], "proxy.stem is 'imagenet'"),
        (["--genotype", DENSE, "--auxiliary"], "trainer.auxiliary is True"),
        (["--genotype", DENSE, "--concat", "all"], "--concat is 'all'"),
    ],
)
def test_what_a_network_of_nasbench201_cannot_be_is_refused(options: list[str], named: str) -> None:
    ended = coldframe("cost", "--space", "nasbench201", *options, "--json")
    assert ended.code == 2
    assert named in ended.json["error"]["message"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("MnasNet-A1", (3_887_038, 311_579_072)),
        ("EfficientNet-B0", (5_288_548, 385_814_752)),
        ("MobileNetV2", (3_504_872, 300_774_272)),
    ],
)
def test_published_mobile_networks_cost_what_was_published(name: str, expected: tuple[int, int]) -> None:
    assert mobile_cost(name) == expected


def test_a_mobile_network_is_read_from_its_blocks_and_from_files_of_them_or_of_json(tmp_path: Path) -> None:
    genotype = PUBLISHED_MOBILE["MobileNetV2"]
    blocks, notation, structured = " | ".join(map(str, genotype.blocks)), tmp_path / "blocks", tmp_path / "network.json"
    notation.write_text(blocks + "\n")
    structured.write_text(json.dumps(genotype.to_json()))
    assert {mobile_cost(each) for each in (blocks, notation, structured)} == {(3_504_872, 300_774_272)}


def mobile_cost(genotype: str | Path) -> tuple[int, int]:
    images = ["--stem", "imagenet", "--resolution", "224", "--classes", "1000"]
    ended = coldframe("cost", "--space", "mnas", "--genotype", genotype, *images, "--json")
    assert ended.code == 0, ended.err
    return ended.json["parameters"], ended.json["multiply_adds"]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["MnasNet-A2"], "MnasNet-A1, MobileNetV2"),
        (["ir_r3_k5_s2_c40, xy"], "got the block 'xy'"),
        (["MobileNetV2", "--concat", "all"], "--concat is 'all'"),
        (["MobileNetV2", "--cells", "8"], "proxy.cells is 8"),
        (["MobileNetV2", "--auxiliary"], "mobile networks have no such head"),
    ],
)
def test_what_mobile_networks_cannot_be_is_refused(options: list[str], named: str) -> None:
    ended = coldframe("cost", "--space", "mnas", "--genotype", *options)
    assert ended.code == 2
    assert named in " ".join(ended.err.split())
