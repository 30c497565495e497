"""`coldframe pause SEARCH`."""

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
def pause(
    search: SearchArgument,
    store: StoreOrUrl = None,
    url: UrlOption = None,
    token_file: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a search start nothing more; its jobs stop at their next checkpoint.

    A paused search keeps its checkpoints and frees its slots. `coldframe resume` lets it go on.
    """
    with reaching(store, url, token_file) as source:
        print_order(source.order("pause", search), as_json)
