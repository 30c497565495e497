"""`coldframe version`."""

from __future__ import annotations

import typer

from orchestrator.commands.common import JsonOption, guarded, print_json


@guarded
def version(as_json: JsonOption = False) -> None:
    """Print the version of coldframe and of Python."""
    import platform
    from importlib import metadata

    found = metadata.version("coldframe")
    if as_json:
        print_json({"version": found, "python": platform.python_version()})
    else:
        typer.echo(f"coldframe {found} (Python {platform.python_version()})")
