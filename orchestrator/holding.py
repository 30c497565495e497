"""Whether a process runs searches in a store now, from the note that it left beside the lock. Takes no lock itself.

Probing the lock would take it for a moment, and could turn away a search that starts just then.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from store.lock import NAME


def holder(folder: Path) -> int | None:
    """Returns the pid of the process on this machine that runs searches in a store, if there is one and it lives.

    That is the one that last took the lock, unless it took it to collect garbage or to repair. A reused pid is told
    from the process that left the note by its start time and the machine's boot, and a copy of the store, which has
    the note too, from the store that is held by the file's inode.
    """
    try:
        with (folder / NAME).open("rb") as file:
            note, inode = json.loads(file.read()), os.fstat(file.fileno()).st_ino
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        started = int(Path(f"/proc/{note['pid']}/stat").read_text().rpartition(")")[2].split()[19])
    except (OSError, ValueError, KeyError, TypeError):
        return None  # no note, half a note, or no such process
    found = (note.get("boot"), note.get("started"), note.get("purpose"), note.get("inode"))
    same = found == (boot, started, "write", inode)
    return int(note["pid"]) if same else None
