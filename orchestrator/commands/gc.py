"""`coldframe gc`: removes what nothing needs any more. Without `--delete` it only says what that would be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.commands.common import (
    JsonOption,
    StoreOrUrl,
    TokenOption,
    UrlOption,
    guarded,
    print_json,
    print_lines,
    reaching,
)

if TYPE_CHECKING:
    from store.sweeping import GcReport

HOUR = 3600.0


@guarded
def gc(
    delete: Annotated[bool, typer.Option("--delete", help="Delete; without it, only say what would be.")] = False,
    grace: Annotated[float, typer.Option(min=0, help="Keep what is younger than so many seconds.")] = HOUR,
    store: StoreOrUrl = None,
    url: UrlOption = None,
    token_file: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find what nothing needs any more, and delete it.

    Nothing is deleted without --delete.
    """
    from store.sweeping import GcReport

    with reaching(store, url, token_file) as source:
        found = source.gc(delete, grace)
    if as_json:
        print_json(found)
    else:
        print_lines(_lines(GcReport.model_validate(found), grace))


def _lines(report: GcReport, asked: float) -> Iterator[str]:
    from orchestrator.wording import duration, plural, size

    gone = f"{plural(report.packs_removed, 'pack')} and {plural(report.manifests_removed, 'manifest')}"
    rewritten = f", {plural(report.packs_rewritten, 'pack')} rewritten" if report.packs_rewritten else ""
    verb = "would remove" if report.dry_run else "removed"
    yield f"{verb} {gone}{rewritten}: {size(report.bytes_freed)}"
    yield (
        f"kept {plural(report.packs_kept, 'pack')} and {plural(report.manifests_kept, 'manifest')}: "
        f"{size(report.bytes_kept)}"
    )
    if report.caches_kept or report.caches_removed:
        removed = f"{plural(report.caches_removed, 'folder')} of decoded images: {size(report.cache_bytes_freed)}"
        yield f"{verb} {removed}; kept {report.caches_kept}: {size(report.cache_bytes_kept)}"
    yield from report.problems
    if report.grace_seconds > asked:
        yield f"what is younger than {duration(report.grace_seconds)} was kept: a daemon's workers may still need it"
    if report.dry_run and (report.bytes_freed or report.cache_bytes_freed):
        yield "Nothing was deleted: add --delete to do it."
