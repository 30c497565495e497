"""Room on the store's disk."""

from __future__ import annotations

import shutil
from pathlib import Path

ENOUGH = 64 << 20


def room_in(folder: Path, enough: int = ENOUGH) -> bool:
    """Whether the disk that holds a folder has so many bytes free."""
    return shutil.disk_usage(folder).free >= enough
