"""Room on the store's disk."""

from __future__ import annotations

import shutil
from pathlib import Path

ENOUGH = 64 << 20


def room_in(folder: Path) -> bool:
    """Whether the disk that holds a folder has 64 MiB free, or a twentieth of it if it is a small one."""
    disk = shutil.disk_usage(folder)
    return disk.free >= min(ENOUGH, disk.total // 20)
