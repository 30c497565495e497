"""`coldframe devices`: what searches can run on."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.commands.common import (
    JsonOption,
    StoreOrUrl,
    TokenOption,
    UrlOption,
    guarded,
    print_json,
    print_table,
    reaching,
)


@guarded
def devices(
    give_back: Annotated[
        str | None, typer.Option("--return", help="Take a device that has left service back.", metavar="DEVICE")
    ] = None,
    store: StoreOrUrl = None,
    url: UrlOption = None,
    token_file: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the processors that searches can run on.

    Memory and load are as the driver reports them. With --store or --url of a daemon also its workers, how much of the
    time they were at work, and which devices have left service and why.
    """
    from orchestrator import answers, rendering

    if store is None and url is None and give_back is None:
        found = answers.devices()
    else:
        with reaching(store, url, token_file) as source:
            if give_back is not None:
                source.return_device(give_back)
            found = source.devices()
    if as_json:
        print_json(found)
    else:
        print_table(*rendering.device_rows(found))
