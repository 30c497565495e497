"""`coldframe stop SEARCH`."""

from __future__ import annotations

from orchestrator.commands.common import (
    JsonOption,
    SearchArgument,
    StoreOrUrl,
    TokenOption,
    UrlOption,
    guarded,
    print_order,
    reaching,
)


@guarded
def stop(
    search: SearchArgument,
    store: StoreOrUrl = None,
    url: UrlOption = None,
    token_file: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a search in good order.

    No daemon takes it up again until it is resumed or submitted.
    """
    with reaching(store, url, token_file) as source:
        print_order(source.order("stop", search), as_json)
