"""The `format` file: which version wrote a store, and which features each kind of use has to know."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from store.errors import NotAStore, StoreFailed, UnsupportedFormat
from store.files import TEMPORARY, disk_errors, make_folder, replace_durably, sync_folder
from store.records.base import Record

NAME = "format"
VERSION = 1
Operation = Literal["read", "write", "check", "gc"]
POOL = "knowledge-pool"
_ALWAYS = ("chained-journal", "zarr-packs")
FEATURES = frozenset({*_ALWAYS, POOL})
_OPERATIONS: tuple[Operation, ...] = ("read", "write", "check", "gc")
_LARGEST = 64 << 10
_NO_FOLDER = "it is a file, not a folder"
_UNFINISHED = frozenset({TEMPORARY, "lock"})


class Format(Record):
    """What the file says. An operation may only be done by a program that knows all of its features."""

    coldframe_store: int
    features: dict[Operation, tuple[str, ...]]


CURRENT = Format(
    coldframe_store=VERSION,
    features=dict.fromkeys(_OPERATIONS, _ALWAYS),
)


def is_store(folder: Path) -> bool:
    """Whether a folder says that it is a store, of whichever version."""
    return (folder / NAME).is_file()


def ensure(folder: Path) -> None:
    """Makes a folder a store, unless it is one. A kill at any moment leaves what the next call completes.

    Raises:
        NotAStore: if something else lies in the folder, or in its place or on the way to it.
        StoreReadOnly: if nothing can be written there.
    """
    if is_store(folder):
        return
    _refuse_foreign(folder)
    with disk_errors(folder):
        _make_folders(folder)
        sync_folder(folder.parent)
        _write(folder, CURRENT)


def add_feature(folder: Path, feature: str) -> None:
    """Says, durably, that a store can from now on only be used by programs that know a feature.

    Raises:
        NotAStore, UnsupportedFormat: if the store's format is not understood.
        StoreFull, StoreReadOnly, StoreFailed: if the disk refuses.
    """
    found = _read(folder)
    if all(feature in found.features.get(operation, ()) for operation in _OPERATIONS):
        return
    features = {each: tuple(sorted({*found.features.get(each, ()), feature})) for each in _OPERATIONS}
    with disk_errors(folder / NAME):
        _write(folder, found.model_copy(update={"features": found.features | features}))


def require(folder: Path, operation: Operation) -> None:
    """Checks that this program may do something with a store.

    Raises:
        NotAStore: if the folder is none.
        UnsupportedFormat: if its version, or a feature that the operation needs, is unknown here.
    """
    found = _read(folder)
    unknown = sorted(set(found.features.get(operation, ())) - FEATURES)
    if unknown:
        known = ", ".join(sorted(FEATURES))
        raise UnsupportedFormat(folder / NAME, f"{operation} needs {', '.join(unknown)}", known)


def unusable(folder: Path) -> list[str]:
    """Says what this program may not do with a store, and why: in a store that it wrote itself, a sign of damage.

    Raises:
        NotAStore, UnsupportedFormat: if the folder is none, or its version is unknown here.
    """
    reasons = []
    for operation in _OPERATIONS:
        try:
            require(folder, operation)
        except UnsupportedFormat as error:
            reasons.append(str(error))
    return reasons


def _read(folder: Path) -> Format:
    path = folder / NAME
    if not folder.is_dir():
        raise NotAStore(folder, _NO_FOLDER if folder.exists() else "there is no such folder")
    if not path.is_file():
        raise NotAStore(folder, f"it has no file `{NAME}`")
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST)
    except OSError as error:
        raise StoreFailed(path, error.strerror or str(error)) from error
    return _parse(path, data)


def _write(folder: Path, content: Format) -> None:
    make_folder(folder / TEMPORARY)
    text = json.dumps(content.model_dump(mode="json"), indent=2) + "\n"
    replace_durably(folder / NAME, text.encode(), folder / TEMPORARY)


def _parse(path: Path, data: bytes) -> Format:
    try:
        value = json.loads(data)
        version = value["coldframe_store"]
    except (ValueError, KeyError, TypeError) as error:
        raise NotAStore(path.parent, f"its file `{NAME}` is not one of coldframe's") from error
    if version != VERSION:
        raise UnsupportedFormat(path, f"version {version}", f"version {VERSION}")
    try:
        return Format.model_validate(value)
    except ValidationError as error:
        raise UnsupportedFormat(path, "something that is not understood", f"version {VERSION}") from error


def _make_folders(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise NotAStore(folder, _NO_FOLDER) from error
    except NotADirectoryError as error:
        file = next(parent for parent in folder.parents if parent.exists())
        raise NotAStore(folder, f"{file} is a file, not a folder") from error


def _refuse_foreign(folder: Path) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise NotAStore(folder, _NO_FOLDER)
    others = sorted({entry.name for entry in folder.iterdir()} - _UNFINISHED)
    # Another process may have made the store since `ensure` looked: its first file is `format`, so look for it again.
    if others and not is_store(folder):
        raise NotAStore(folder, f"it holds other things, e.g. {others[0]!r}")
