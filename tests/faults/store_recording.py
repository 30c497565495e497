"""What a power loss leaves: file operations of a real process, recorded by strace, replayed without what was unsynced.

The model is what POSIX promises, and no more. A file's bytes are on the disk after `fsync` or `fdatasync` of the file,
a name after `fsync` of its folder. What came since may be there or not, in any order, in units of 512 bytes, of which
some may hold anything. Only a rename is atomic: until one of its folders is synced, both names change or neither.
"""

from __future__ import annotations

import random
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Literal, NamedTuple

SECTOR = 512
_TRASHED = 0.1
_BY_CHANCE = ("random", "torn")
_CHANGES = "openat,creat,write,pwrite64,fsync,fdatasync,ftruncate"
_CALLS = f"{_CHANGES},rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat,rmdir"
_LINE = re.compile(r"(\d+)\s+(.*)", re.DOTALL)
_RESUMED = re.compile(r"<\.\.\. \w+ resumed>")
_CALL = re.compile(r"(\w+)\((.*)\)\s+= (-?\d+)")
_HEX = r"((?:\\x[0-9a-f]{2})*)"
_ARGUMENT = re.compile(rf'(?:(AT_FDCWD|\d+)<{_HEX}>(?:\(deleted\))?)|"{_HEX}"|([A-Z_|0-9a-z]+)')
Policy = Literal["none", "all", "prefix", "random", "torn"]
Stays = Callable[[int], bool]
POLICIES: tuple[Policy, ...] = ("none", "all", "prefix", "random", "torn")


class Operation(NamedTuple):
    """A system call that succeeded: its paths, below the recorded folder, its bytes and its number."""

    call: str
    path: str
    other: str = ""
    data: bytes = b""
    number: int = 0


def record(command: Sequence[str], folder: Path, trace: Path, cwd: Path) -> list[Operation]:
    """Runs a command to its end and returns what it did to a folder, and what it said, in order.

    Args:
        command: to be run under strace.
        folder: what is recorded; absolute and free of links.
        trace: a file for strace.
        cwd: where the command runs.
    """
    under = ["strace", "-f", "-y", "-xx", "-s", "8000000", "-e", f"trace={_CALLS}", "-o", str(trace)]
    done = subprocess.run([*under, *command], cwd=cwd, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    found = [each for each in map(_operation, _whole_lines(trace.read_text())) if each is not None]
    return [each for each in (_below(one, folder) for one in found) if each is not None]


def _whole_lines(text: str) -> Iterator[str]:
    """Joins the calls that another thread's came between."""
    begun: dict[str, str] = {}
    for line in text.splitlines():
        if (parts := _LINE.fullmatch(line)) is None:
            continue
        thread, rest = parts.groups()
        if rest.endswith("<unfinished ...>"):
            begun[thread] = rest.removesuffix("<unfinished ...>").rstrip()
        elif _RESUMED.match(rest):
            yield begun.pop(thread) + _RESUMED.sub("", rest, count=1)
        else:
            yield rest


def _operation(line: str) -> Operation | None:
    call = _CALL.match(line)
    if call is None or int(call.group(3)) < 0:
        return None
    name, arguments, result = call.groups()
    folder, words, numbers = "", list[bytes](), list[str]()
    for handle, place, word, plain in _ARGUMENT.findall(arguments):
        if handle:
            folder, number = _bytes(place).decode(), handle
            numbers.append(number)
        elif plain:
            numbers.append(plain)
        else:
            words.append(_bytes(word))
    match name:
        case "write" | "pwrite64":
            said = numbers[0] == "1" and name == "write"
            offset = int(numbers[-1]) if name == "pwrite64" else -1
            return Operation("said" if said else "write", folder, data=words[0][: int(result)], number=offset)
        case "fsync" | "fdatasync":
            return Operation("sync", folder)
        case "ftruncate":
            return Operation("truncate", folder, number=int(numbers[-1]))
        case "openat" | "creat":
            flags = numbers[1] if len(numbers) > 1 else ""
            kind = "create" if "O_CREAT" in flags else "open"
            return Operation(kind, _joined(folder, words[0]), number=int("O_TRUNC" in flags))
        case "mkdir" | "mkdirat":
            return Operation("mkdir", _joined(folder, words[0]))
        case "unlink" | "unlinkat" | "rmdir":
            return Operation("unlink", _joined(folder, words[0]))
        case _:
            return Operation("rename", _joined("", words[0]), other=_joined("", words[1]))


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


def _joined(folder: str, name: bytes) -> str:
    return str(Path(folder) / name.decode())


def _below(operation: Operation, folder: Path) -> Operation | None:
    if operation.call == "said":
        return operation
    paths = [Path(path) for path in (operation.path, operation.other) if path]
    if operation.call == "open" or not all(path.is_relative_to(folder) for path in paths):
        return None
    path, other = (str(path.relative_to(folder)) for path in [*paths, folder][:2])
    return operation._replace(path=path, other=other)


@dataclass(eq=False)
class File:
    """A file: what is on the disk, what was done since, and how long it is for the process."""

    durable: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, int, bytes | None]] = field(default_factory=list)
    size: int = 0


@dataclass(eq=False)
class Folder:
    """A folder: its names on the disk, the changes since, and its names for the process."""

    durable: dict[str, File | Folder] = field(default_factory=dict)
    pending: list[tuple[int, str, File | Folder | None]] = field(default_factory=list)
    names: dict[str, File | Folder] = field(default_factory=dict)


class Disk:
    """A folder on a disk that loses its power; `apply` brings it forward, `image` writes what may be left."""

    def __init__(self) -> None:
        self.root = Folder()
        self._at = 0

    def apply(self, operation: Operation) -> None:
        """Does what the process did."""
        self._at += 1
        match operation:
            case Operation("create", path, number=truncated):
                self._create(path, bool(truncated))
            case Operation("write", path, data=data, number=offset):
                if isinstance(file := self._find(path), File):
                    start = file.size if offset < 0 else offset
                    file.pending.append((self._at, start, data))
                    file.size = max(file.size, start + len(data))
            case Operation("truncate", path, number=size):
                if isinstance(file := self._find(path), File):
                    file.pending.append((self._at, size, None))
                    file.size = size
            case Operation("sync", path):
                self._sync(self._find(path))
            case Operation("mkdir", path):
                self._set(path, Folder())
            case Operation("unlink", path):
                self._set(path, None)
            case Operation("rename", path, other):
                moved = self._find(path)
                self._set(other, moved)
                self._set(path, None)

    def image(self, target: Path, policy: Policy, draw: random.Random) -> None:
        """Writes what may be on the disk after a power loss now.

        Args:
            target: a folder that is made.
            policy: what of the unsynced stays: none, all, what was done up to a moment, a random part, or a random part
                of which some units hold anything.
            draw: decides.
        """
        cut = draw.randrange(self._at + 1)

        def stays(at: int) -> bool:
            return (
                policy == "all" or (policy == "prefix" and at <= cut) or (policy in _BY_CHANCE and draw.random() < 0.5)
            )

        self._write_folder(self.root, target, stays, draw, policy, {})

    def _write_folder(
        self, folder: Folder, target: Path, stays: Stays, draw: random.Random, policy: Policy, came: dict[int, bool]
    ) -> None:
        target.mkdir()
        names = dict(folder.durable)
        for at, name, node in folder.pending:
            if at not in came:  # both halves of a rename bear its moment
                came[at] = stays(at)
            kept = came[at]
            if kept and node is None:
                names.pop(name, None)
            elif kept and node is not None:
                names[name] = node
        for name, node in names.items():
            if isinstance(node, Folder):
                self._write_folder(node, target / name, stays, draw, policy, came)
            elif not name.endswith("-shm"):  # memory that is shared by mapping; SQLite makes it anew
                (target / name).write_bytes(_content(node, stays, draw, policy))

    def _create(self, path: str, truncated: bool) -> None:
        file = self._find(path)
        if file is None:
            self._set(path, File())
        elif truncated and isinstance(file, File):
            file.pending.append((self._at, 0, None))
            file.size = 0

    def _sync(self, node: File | Folder | None) -> None:
        if isinstance(node, Folder):
            node.durable, node.pending = dict(node.names), []
        elif isinstance(node, File):
            for _, offset, data in node.pending:
                _play(node.durable, offset, data)
            node.pending = []

    def _find(self, path: str) -> File | Folder | None:
        node: File | Folder | None = self.root
        for name in Path(path).parts:
            node = node.names.get(name) if isinstance(node, Folder) else None
        return node

    def _set(self, path: str, node: File | Folder | None) -> None:
        folder, name = self._find(str(Path(path).parent)), Path(path).name
        assert isinstance(folder, Folder), path
        folder.pending.append((self._at, name, node))
        if node is None:
            folder.names.pop(name, None)
        else:
            folder.names[name] = node


def _content(file: File, stays: Stays, draw: random.Random, policy: Policy) -> bytes:
    content = bytearray(file.durable)
    for at, offset, data in file.pending:
        if data is None:
            if stays(at):
                _play(content, offset, None)
            continue
        end = offset + len(data)
        starts = [offset, *range((offset // SECTOR + 1) * SECTOR, end, SECTOR), end]
        for start, stop in pairwise(starts):
            unit = data[start - offset : stop - offset]
            if policy == "torn" and draw.random() < _TRASHED:
                _play(content, start, draw.randbytes(len(unit)))
            elif stays(at):
                _play(content, start, unit)
    return bytes(content)


def _play(content: bytearray, offset: int, data: bytes | None) -> None:
    """Writes into a content, or cuts it to a size where there are no data."""
    size = offset if data is None else max(len(content), offset + len(data))
    del content[size:]
    content.extend(bytes(size - len(content)))
    if data is not None:
        content[offset : offset + len(data)] = data
