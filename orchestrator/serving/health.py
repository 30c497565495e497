"""Whether the daemon does its work, in a word and a reason."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from store.errors import StoreReadOnly

Status = Literal["ok", "full", "read only", "draining", "starting"]


def status(folder: Path, trouble: Exception | str | None, draining: str) -> tuple[Status, str]:
    """Returns how a daemon is, and why.

    Args:
        folder: the store.
        trouble: why its disk takes nothing; None if it does.
        draining: why it is leaving; empty if it is not.
    """
    if draining:
        return "draining", f"it is leaving: {draining}"
    if trouble is None:
        return "ok", ""
    return ("read only" if isinstance(trouble, StoreReadOnly) or _is_read_only(folder) else "full"), str(trouble)


def _is_read_only(folder: Path) -> bool:
    try:
        return bool(os.statvfs(folder).f_flag & os.ST_RDONLY)
    except OSError:
        return True
