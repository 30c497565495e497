"""Whether a process works in a store now, from the note that it left beside the lock. Takes no lock itself.

Probing the lock would take it for a moment, and could turn away a search that starts just then.
"""

from __future__ import annotations

import json
from pathlib import Path

from store.lock import NAME


def holder(folder: Path) -> int | None:
    """Returns the pid of the process on this machine that last took a store's lock, if it still lives; else None.

    A reused pid is told from the process that left the note by its start time and the machine's boot.
    """
    try:
        note = json.loads((folder / NAME).read_bytes())
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        started = int(Path(f"/proc/{note['pid']}/stat").read_text().rpartition(")")[2].split()[19])
    except (OSError, ValueError, KeyError, TypeError):
        return None  # no note, half a note, or no such process
    return int(note["pid"]) if (note.get("boot"), note.get("started")) == (boot, started) else None
