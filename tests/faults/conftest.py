"""What holds for all tests of faults."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults import serving


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Ends the daemons that a failed test left."""
    yield
    for daemon in serving.STARTED:
        daemon.abandon()
    serving.STARTED.clear()
