"""`coldframe resume SEARCH`."""

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
def resume(
    search: SearchArgument,
    store: StoreOrUrl = None,
    url: UrlOption = None,
    token_file: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a paused, stopped or failed search go on.

    It goes on from its last checkpoints.
    """
    with reaching(store, url, token_file) as source:
        print_order(source.order("resume", search), as_json)
