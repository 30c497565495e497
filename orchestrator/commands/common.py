"""What the commands share: options, opening a store to read it, printing, and errors as one clear message."""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, ParamSpec, TypeVar

import typer

from orchestrator.errors import DaemonHolds, OrchestratorError
from store.errors import StoreError
from strategies.errors import StrategyError
from trainers.errors import TrainerError

if TYPE_CHECKING:
    from orchestrator.reaching import Source
    from orchestrator.views import History
    from store.opening import Store

P = ParamSpec("P")
R = TypeVar("R")

EXPECTED = (OrchestratorError, StoreError, StrategyError, TrainerError)
IO_ERROR, BROKEN_PIPE, INTERRUPTED = 74, 141, 130

STORE, URL = "COLDFRAME_STORE", "COLDFRAME_URL"
StoreOption = Annotated[Path, typer.Option("--store", envvar=STORE, help="Folder of the store.", show_default=False)]
StoreOrUrl = Annotated[
    Path | None,
    typer.Option(
        "--store",
        envvar=STORE,
        help="Folder of the store; the daemon that holds it is asked, if there is one.",
        show_default=False,
    ),
]
UrlOption = Annotated[
    str | None,
    typer.Option("--url", envvar=URL, help="A daemon's TCP port, instead of --store.", show_default=False),
]
TokenOption = Annotated[
    Path | None,
    typer.Option(
        "--token-file", envvar="COLDFRAME_TOKEN_FILE", help="File with the token for --url.", show_default=False
    ),
]
SearchArgument = Annotated[str, typer.Argument(help="Name or id.", metavar="SEARCH")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON on stdout and nothing else.")]


class Reading(NamedTuple):
    """A store that is open to be read, its folded journal, and whether a process holds it now."""

    store: Store
    history: History
    alive: bool


@contextmanager
def reading(folder: Path) -> Iterator[Reading]:
    """Opens a store to read it, also while a search runs in it."""
    from orchestrator.holding import holder
    from orchestrator.views import read
    from store.opening import Store

    with Store.open(folder, write=False) as store:
        alive = holder(folder) is not None
        yield Reading(store, read(store.journal), alive)


@contextmanager
def reaching(store: Path | None, url: str | None, token_file: Path | None) -> Iterator[Source]:
    """Opens the way to what was named: the daemon that holds a store, one at a URL, or the store itself.

    An option goes before the environment; of two variables the URL counts.
    """
    from orchestrator.reaching import reach

    if url is not None and store is not None:
        from_environment = str(store) == os.environ.get(STORE), url == os.environ.get(URL)
        if not any(from_environment):
            raise typer.BadParameter("give --store or --url, not both")
        store, url = (store, None) if from_environment == (False, True) else (None, url)
    if store is None and url is None:
        raise typer.BadParameter("give --store or --url (or set COLDFRAME_STORE or COLDFRAME_URL)")
    with reach(store, url, token_file) as source:
        yield source


def refuse_held(folder: Path, what: str) -> None:
    """Refuses a command that needs a store for itself, and whose work no daemon takes over.

    Raises:
        DaemonHolds: if a daemon has the store.
    """
    from orchestrator.holding import holder
    from orchestrator.reaching import serving

    if serving(folder):
        end = f"`kill {holder(folder)}`, or `systemctl stop coldframe` where systemd started it"
        raise DaemonHolds(
            str(folder), f"{what} needs it for itself. End the daemon first ({end}); the next one takes its searches up"
        )


def guarded(command: Callable[P, R]) -> Callable[P, R]:
    """Turns the errors that a user can meet into one message on stderr (and JSON on stdout) and an exit code."""

    @functools.wraps(command)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except EXPECTED as error:
            raise _failure(error, str(error), error.exit_code, kwargs) from error
        except BrokenPipeError as error:
            from orchestrator.stream import silence

            silence(sys.stdout)
            raise typer.Exit(BROKEN_PIPE) from error
        except OSError as error:
            raise _failure(error, str(error), IO_ERROR, kwargs) from error
        except KeyboardInterrupt as error:
            raise _failure(error, "interrupted", INTERRUPTED, kwargs) from error

    return call


def _failure(error: BaseException, message: str, code: int, options: dict[str, Any]) -> typer.Exit:
    with suppress(OSError):  # stderr may lie on the full disk that the message is about
        typer.echo(f"coldframe: {message}", err=True)
    if options.get("as_json"):
        kind = getattr(error, "kind", type(error).__name__)
        print_json({"error": {"kind": kind, "message": message, "exit_code": code}})
    return typer.Exit(code)


def print_json(value: Any) -> None:
    """Prints a value as one line of JSON on stdout, in ASCII: any encoding of stdout can carry that."""
    typer.echo(json.dumps(value, allow_nan=False))


def print_lines(lines: Iterable[str]) -> None:
    """Prints lines on stdout."""
    for line in lines:
        typer.echo(line)


def print_order(answer: Mapping[str, Any], as_json: bool) -> None:
    """Prints what a search is after an order."""
    if as_json:
        print_json(answer)
    else:
        typer.echo(f"search {answer['name']} ({answer['search'][:12]}): {answer['status']}")


def print_table(headings: list[str], rows: list[list[str]]) -> None:
    """Prints columns on stdout; those whose cells are all numbers stand to the right."""
    widths = [max(len(str(line[column])) for line in [headings, *rows]) for column in range(len(headings))]
    right = [
        bool(rows) and all(row[column][:1].isdigit() or row[column] == "-" for row in rows)
        for column in range(len(headings))
    ]
    for line in [headings, *rows]:
        cells = [
            cell.rjust(width) if r else cell.ljust(width) for cell, width, r in zip(line, widths, right, strict=True)
        ]
        typer.echo("  ".join(cells).rstrip())
