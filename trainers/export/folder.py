"""An export's folder: it is there as a whole, or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from store.files import sync_folder, unique_name
from trainers.errors import ExportRefused

CARD = "card.json"
"""The file by which a folder is known to be an export."""


def check(folder: Path, *, force: bool) -> None:
    """Checks that an export may be written to a path: nothing is there, or an empty folder, or with `force` an export.

    Raises:
        ExportRefused: saying what is in the way.
        OSError: if the path cannot be looked at.
    """
    if not os.path.lexists(folder) or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not (folder / CARD).is_file():
        raise ExportRefused(folder, "is there and is no export: it is left alone; name another folder by --out")
    if not force:
        raise ExportRefused(folder, "has an export already: name another folder by --out, or replace it by --force")


@contextmanager
def drafted(folder: Path, *, force: bool) -> Iterator[Path]:
    """Gives a folder to write into, and puts it in place, synced to the disk, when the block ends without an error.

    A process that is killed leaves a folder whose name begins with a dot and ends with `.draft`, and at `folder` what
    was there before; between two renames with `force` that can be nothing, and the old export is in the other such
    folder.

    Args:
        folder: where the export goes; the folders above it are made.
        force: replace an export that is there.

    Raises:
        ExportRefused: as `check`.
        OSError: if the disk refuses; it names a file, or this folder.
    """
    check(folder, force=force)
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = folder.parent / f".{folder.name}-{unique_name()}.draft"
    draft.mkdir()
    try:
        yield draft
        _sync(draft)
        check(folder, force=force)
        _replace(folder, draft)
    except OSError as error:
        if error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(folder)) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _replace(folder: Path, draft: Path) -> None:
    if folder.is_dir() and any(folder.iterdir()):
        old = folder.parent / f".{folder.name}-{unique_name()}.draft"
        folder.rename(old)
        draft.rename(folder)
        shutil.rmtree(old)
    else:
        draft.rename(folder)  # in the place of an empty folder, too
    sync_folder(folder.parent)


def _sync(folder: Path) -> None:
    for file in folder.iterdir():
        handle = os.open(file, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    sync_folder(folder)
