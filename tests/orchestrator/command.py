"""Runs `coldframe` as a person does, and makes stores for it to read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from typer.testing import CliRunner

from orchestrator.cli import app
from store.opening import Store
from tests.orchestrator.telling import Teller

REPOSITORY = Path(__file__).parents[2]
LIMIT_SECONDS = 60


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed on stdout, which must be one line of JSON."""
        (line,) = self.out.splitlines()
        return json.loads(line)


def coldframe(*arguments: str | Path, **environment: str) -> Ended:
    """Runs a command in this process, which spares its imports; without the caller's `COLDFRAME_STORE`."""
    none: dict[str, str | None] = {"COLDFRAME_STORE": None}
    ended = CliRunner().invoke(app, [*map(str, arguments)], env=none | environment, prog_name="coldframe")
    if ended.exception is not None and not isinstance(ended.exception, SystemExit):
        raise ended.exception
    return Ended(ended.exit_code, ended.stdout, ended.stderr)


def process(*arguments: str | Path, **environment: str) -> Ended:
    """Runs a command as a process of its own."""
    known = {name: value for name, value in os.environ.items() if name != "COLDFRAME_STORE"}
    ended = subprocess.run(
        [sys.executable, "-m", "orchestrator.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        cwd=REPOSITORY,
        env=known | environment,
        check=False,
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)


def stored(teller: Teller, folder: Path) -> Path:
    """Writes a told journal into a new store."""
    with Store.open(folder, write=True, create=True) as store:
        store.journal.append([event for _, event in teller.events])
    return folder
