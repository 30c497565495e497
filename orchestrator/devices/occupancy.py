"""How long devices had nothing to do. Pure: times are passed in."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class _Use:
    since: float
    changed: float
    working: set[str] = field(default_factory=set)
    idle: float = 0.0


class Occupancy:
    """Which workers have a job, on which device; times in seconds of a monotonic clock."""

    def __init__(self) -> None:
        self._uses: dict[str, _Use] = {}

    def works(self, device: str, worker: str, now: float) -> None:
        """A worker of a device has a job."""
        use = self._use(device, now)
        if not use.working:
            use.idle += now - use.changed
        use.working.add(worker)

    def rests(self, device: str, worker: str, now: float) -> None:
        """A worker of a device has no job, or is no more."""
        use = self._use(device, now)
        if worker in use.working:
            use.working.discard(worker)
            use.changed = now

    def idle_share(self, device: str, now: float) -> float | None:
        """Returns the share of the time in which a device had no job, since it was first heard of; None before."""
        use = self._uses.get(device)
        if use is None or now <= use.since:
            return None
        idle = use.idle + (0.0 if use.working else now - use.changed)
        return idle / (now - use.since)

    def _use(self, device: str, now: float) -> _Use:
        return self._uses.setdefault(device, _Use(now, now))
