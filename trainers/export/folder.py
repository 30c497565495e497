"""An export's folder: it is there as a whole, or not at all."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from store.files import sync_folder, unique_name
from trainers.errors import ExportRefused

CARD = "card.json"
"""The file by which a folder is known to be an export."""
OURS = frozenset(
    {CARD, "card.md", "genotype.json", "network.py", "weights.safetensors", "weights.pt", "network.onnx", "__pycache__"}
)
"""What an export's folder can have in it; the last one is Python's, where `network.py` was imported."""
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
_NO_EXCHANGE = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP})


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
    if others := sorted({entry.name for entry in folder.iterdir()} - OURS):
        why = f"has an export and also {others[0]}, which --force would delete: move it or name another folder by --out"
        raise ExportRefused(folder, why)


@contextmanager
def drafted(folder: Path, *, force: bool) -> Iterator[Path]:
    """Gives a folder to write into, and puts it in place, synced to the disk, when the block ends without an error.

    A process that is killed leaves at `folder` what was there before or the new export as a whole, and at most another
    folder beside it whose name begins with a dot and ends with `.draft`. With `force` the old and the new one change
    places in one step, where the file system can do that (`renameat2`; ext4, xfs, btrfs and tmpfs can). Where it
    cannot, there is nothing at `folder` for a moment, and the old export is in the other folder.

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
    """Puts the draft in the folder's place; what was in it is at the draft's path, or gone, afterwards."""
    if not folder.is_dir() or not any(folder.iterdir()):
        draft.rename(folder)  # in the place of an empty folder, too
    elif not exchange(draft, folder):
        old = folder.with_name(f".{folder.name}-{unique_name()}.draft")
        folder.rename(old)
        try:
            draft.rename(folder)
        except BaseException:
            old.rename(folder)
            raise
        old.rename(draft)
    sync_folder(folder.parent)


def exchange(first: Path, second: Path) -> bool:
    """Has two paths change places in one step; returns whether the system and the file system can do that.

    Raises:
        OSError: if it can, and fails.
    """
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    if renameat2(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in _NO_EXCHANGE:
        return False
    raise OSError(code, os.strerror(code), str(second))


def _sync(folder: Path) -> None:
    for file in folder.iterdir():
        handle = os.open(file, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    sync_folder(folder)
