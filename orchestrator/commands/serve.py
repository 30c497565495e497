"""`coldframe serve`: the daemon."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.commands.common import guarded


@guarded
def serve(
    config: Annotated[Path | None, typer.Option("--config", help="The daemon's configuration, as a TOML file.")] = None,
    store: Annotated[
        Path | None,
        typer.Option("--store", envvar="COLDFRAME_STORE", help="Folder of the store, where there is no configuration."),
    ] = None,
) -> None:
    """Run the searches that are submitted to a store, for several people and for weeks.

    SIGTERM and SIGINT let workers save and stop; the next daemon goes on. A second signal leaves at once.
    """
    from orchestrator.serving import config as configs
    from orchestrator.serving.main import serve as run

    if config is not None:
        run(configs.load(config))
    elif store is not None:
        run(configs.ServeConfig(store=store.absolute()))
    else:
        raise typer.BadParameter("give --config FILE, or --store FOLDER for one without a configuration")
