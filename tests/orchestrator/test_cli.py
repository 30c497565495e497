"""The command line as a whole: help, imports, errors, exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.orchestrator.command import REPOSITORY, coldframe, process, stored
from tests.orchestrator.telling import small_search

COMMANDS = (
    "run",
    "prepare",
    "retrain",
    "export",
    "export-history",
    "serve",
    "submit",
    "watch",
    "list",
    "status",
    "show",
    "story",
    "why",
    "logs",
    "pause",
    "resume",
    "stop",
    "priority",
    "extend",
    "report",
    "devices",
    "check",
    "gc",
    "pool",
    "cost",
    "simulate",
    "version",
)
HEAVY = (
    "httpx",
    "starlette",
    "uvicorn",
    "rich",
    "torch",
    "torchvision",
    "zarr",
    "matplotlib",
    "sklearn",
    "scipy",
    "networkx",
    "numpy",
    "anyio",
)


def test_help_lists_every_command_and_loads_nothing_heavy() -> None:
    script = f"""
import contextlib, io, json, sys
from orchestrator.cli import app
out = io.StringIO()
with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
    app(["--help"], prog_name="coldframe")
print(json.dumps([out.getvalue(), [name for name in {HEAVY} if name in sys.modules]]))
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=REPOSITORY, check=True)
    shown, heavy = json.loads(ended.stdout)
    assert heavy == []
    assert [line.split()[0] for line in shown.partition("Commands:")[2].splitlines() if line.strip()] == list(COMMANDS)


@pytest.mark.parametrize("command", [command for command in COMMANDS if command != "serve"])
def test_every_command_has_help_and_json(command: str) -> None:
    shown = coldframe(command, "--help")
    assert shown.code == 0
    assert "--json" in shown.out


def test_the_installed_command_says_its_version() -> None:
    ended = process("version", "--json")
    assert ended.code == 0
    assert set(ended.json) == {"version", "python"}


def test_a_store_that_is_none_is_one_clear_message_and_exit_code_2(tmp_path: Path) -> None:
    ended = coldframe("list", "--store", tmp_path / "nowhere")
    assert ended.code == 2
    assert ended.out == ""
    assert ended.err.startswith("coldframe: ")
    assert str(tmp_path / "nowhere") in ended.err
    assert "Traceback" not in ended.err


def test_with_json_an_error_is_json_too(tmp_path: Path) -> None:
    ended = process("status", "--store", tmp_path / "nowhere", "--json")
    assert ended.code == 2
    assert ended.json["error"]["exit_code"] == 2
    assert ended.json["error"]["kind"] == "NotAStore"
    assert ended.json["error"]["message"] in ended.err


def test_the_store_may_come_from_the_environment_and_must_come_from_somewhere(tmp_path: Path) -> None:
    store = stored(small_search(), tmp_path / "store")
    assert coldframe("list", "--json", COLDFRAME_STORE=str(store)).json[0]["name"] == "digits <&> cells"
    missing = coldframe("list")
    assert missing.code == 2
    assert "--store" in missing.err


def test_a_file_in_the_way_is_an_input_output_error(tmp_path: Path) -> None:
    store = stored(small_search(), tmp_path / "store")
    (tmp_path / "file").write_text("mine")
    ended = coldframe("report", "--store", store, "--output", tmp_path / "file", "--json")
    assert ended.code == 74
    assert str(tmp_path / "file") in ended.json["error"]["message"]


def test_an_unknown_command_or_option_is_refused() -> None:
    assert process("trian").code == 2
    assert coldframe("list", "--stor", "x").code == 2


def test_the_list_may_be_cut_off_by_its_reader(tmp_path: Path) -> None:
    """Guards `coldframe list | head -1`: no traceback when the reader leaves first."""
    store = stored(small_search(), tmp_path / "store")
    command = [sys.executable, "-m", "orchestrator.cli", "show", "digits <&> cells", "--store", str(store)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=REPOSITORY) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()
        assert process.wait(30) in {0, 141}
