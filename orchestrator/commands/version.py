"""`coldframe version`."""

from __future__ import annotations

import typer

from orchestrator.commands.common import JsonOption, TokenOption, UrlOption, guarded, print_json


@guarded
def version(url: UrlOption = None, token_file: TokenOption = None, as_json: JsonOption = False) -> None:
    """Print the version of coldframe and of Python: of this one, or of the daemon at a URL."""
    from orchestrator.answers import version as ours

    if url is None:
        found = ours()
    else:
        from orchestrator.client import Client

        with Client(url, token_file=token_file) as client:
            found = client.version()
    if as_json:
        print_json(found)
    else:
        typer.echo(f"coldframe {found['version']} (Python {found['python']})")
