"""`coldframe submit SPEC.toml`: hands a search to the daemon, or leaves it in the store for the next one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.commands.common import (
    JsonOption,
    StoreOrUrl,
    TokenOption,
    UrlOption,
    guarded,
    print_json,
    reaching,
)


@guarded
def submit(
    spec: Annotated[Path, typer.Argument(help="The search, as a TOML file.", metavar="SPEC.toml")],
    weight: Annotated[float, typer.Option(help="Share of the devices among searches of one priority.")] = 1.0,
    priority: Annotated[int, typer.Option(help="Searches with a higher one go first.")] = 0,
    follow: Annotated[bool, typer.Option("--follow", help="Watch it until it ends; Ctrl-C ends the watching.")] = False,
    store: StoreOrUrl = None,
    url: UrlOption = None,
    token_file: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Hand a search in; it runs beside others, and outlives this command.

    Without a daemon it waits in the store for the next one. A search that the store knows goes on.
    """
    with reaching(store, url, token_file) as source:
        before = int(source.health()["sequence"]) if follow and source.live else 0
        found = source.submit(spec, weight, priority)
        if as_json:
            print_json(found)
        else:
            typer.echo(_line(found))
        if follow and found["daemon"]:
            from orchestrator.commands.watch import watch_source

            watch_source(source, found["search"], until_end=True, as_json=as_json, after=before)


def _line(found: dict[str, str | bool]) -> str:
    known = "" if found["new"] else "; the store knew it"
    line = f"search {found['name']} ({str(found['search'])[:12]}): {found['status']}{known}"
    later = "no daemon holds this store: the next one takes the search up (`coldframe serve`)"
    return line if found["daemon"] else f"{line}\n{later}"
