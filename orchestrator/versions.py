"""With which versions a search is taken up, and what to say if they are others than before.

Another version is remarked upon, never refused: a daemon is upgraded while searches are under way, and they go on. What
was trained stays as it is; what is trained from then on may differ in its last bits from what the former version would
have given. A version that makes the strategy itself ask for something else is caught by the replay, and ends that
search with the request at which they part (`ReplayDiverged`).
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version

DECISIVE = ("torch", "numpy")
"""Those whose change may change the bits of a training, or the numbers that a generator gives."""


@cache
def _installed() -> tuple[tuple[str, str], ...]:
    found = {"python": platform.python_version()} | {name: version(name) for name in ("coldframe", *DECISIVE)}
    return tuple(found.items())


def present() -> dict[str, str]:
    """The versions of Python, coldframe, torch and numpy, without importing any of them."""
    return dict(_installed())


def remark(name: str, before: Mapping[str, str], now: Mapping[str, str]) -> str | None:
    """What to tell whoever watches a search that is taken up again, or None if nothing that matters has changed.

    Args:
        name: of the search.
        before: the versions with which it was last taken up; empty if that is not known.
        now: those that it is taken up with.
    """
    changed = [one for one in DECISIVE if one in before and before[one] != now.get(one)]
    if not changed:
        return None
    words = ", ".join(f"{one} {before[one]}, now {now.get(one)}" for one in changed)
    return (
        f"search {name} was under way with other versions ({words}): it goes on, but what is trained from here on may "
        "differ in its last bits from what the former ones would have given"
    )
