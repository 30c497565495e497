"""`coldframe why`: what a search waits for, and what would end the wait."""

from __future__ import annotations

from orchestrator.commands.common import (
    JsonOption,
    SearchArgument,
    StoreOrUrl,
    TokenOption,
    UrlOption,
    guarded,
    print_json,
    print_lines,
    reaching,
)


@guarded
def why(
    search: SearchArgument,
    store: StoreOrUrl = None,
    url: UrlOption = None,
    token_file: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what a search waits for, and what would end the wait."""
    from orchestrator import rendering

    with reaching(store, url, token_file) as source:
        answer = source.why(search)
    if as_json:
        print_json(answer)
    else:
        print_lines(rendering.why_lines(answer))
