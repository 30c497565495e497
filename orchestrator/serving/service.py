"""What the API, the page and the metrics may ask of the daemon: the port between them and what runs searches.

`orchestrator.serving.daemon.Daemon` is the one implementation; tests of the API may bring another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from orchestrator.serving.config import ServeConfig
from orchestrator.views import History
from store.opening import Store


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks. `local`: over the Unix socket, by a uid that was checked; else over TCP with the token."""

    name: str
    local: bool


@dataclass(frozen=True, slots=True)
class Submission:
    """A spec that somebody hands in.

    Attributes:
        raw: the spec as TOML or JSON has it.
        file: what it is called, for messages.
        folder: relative paths in it are taken from here; None where the daemon does not know the sender's folders.
    """

    raw: Mapping[str, Any]
    file: str = "spec"
    folder: str | None = None
    weight: float = 1.0
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Submitted:
    """What became of a submission. `status` as in `ServedSearch`; `new`: the store had not seen the search."""

    search: str
    name: str
    status: str
    new: bool


@dataclass(frozen=True, slots=True)
class ServedSearch:
    """What the daemon alone knows of a search, beside what the journal says.

    Attributes:
        status: `preparing` (its data are being read), `running`, `paused`, `pausing`, `stopped`, `interrupted`,
            `finished`, `failed`.
        done, total, label: how far its strategy says it is.
    """

    search: str
    status: str
    owner: str
    weight: float
    priority: int
    done: int = 0
    total: int = 0
    label: str = ""


@dataclass(frozen=True, slots=True)
class Wait:
    """Something that a search waits for, and what would end the wait; both in words."""

    what: str
    until: str


@dataclass(frozen=True, slots=True)
class DeviceState:
    """A device as the daemon sees it now; what the driver does not tell is None.

    Attributes:
        state: `in service`, or `out of service` with why.
        slots: worker processes that it has now; busy: those with a job.
        idle_share: of the daemon's time so far, the share in which the device had no job.
        temperature: degrees Celsius. power_watts: drawn now. faults: lately, as counted towards leaving service.
    """

    device: str
    kind: str
    model: str
    state: Literal["in service", "out of service"] = "in service"
    why: str = ""
    slots: int = 0
    busy: int = 0
    memory_bytes: int | None = None
    memory_used_bytes: int | None = None
    utilisation: float | None = None
    temperature: float | None = None
    power_watts: float | None = None
    faults: int = 0
    idle_share: float | None = None


@dataclass(frozen=True, slots=True)
class Health:
    """Whether the daemon does its work. `read only`: its disk takes no writes; `full`: it waits for room."""

    status: Literal["ok", "full", "read only", "draining", "starting"]
    reason: str
    uptime_seconds: float
    sequence: int


class Service(Protocol):
    """The daemon, for whoever shows it or gives it orders. Called on the event loop's thread only.

    Orders raise `OrchestratorError`s that say what was wrong: `UnknownSearch`, `SpecError`, `TotalLowered`,
    `WrongState`; `StoreFull` and `StoreReadOnly` where the journal cannot take the order.
    """

    config: ServeConfig
    store: Store
    history: History

    def searches(self) -> Sequence[ServedSearch]:
        """Every search that the store has, oldest first."""
        ...

    def why(self, search: str) -> Sequence[Wait]:
        """What a search waits for; empty while nothing of it waits longer than it must, or after its end."""
        ...

    def devices(self) -> Sequence[DeviceState]:
        """Every device, also those out of service."""
        ...

    def health(self) -> Health:
        """How the daemon is."""
        ...

    def jobs(self) -> Mapping[tuple[str, str], int]:
        """How many jobs are under way, by state (`lifecycle.JobState`) and kind, e.g. `("running", "train")`."""
        ...

    async def submit(self, submission: Submission, actor: Actor) -> Submitted:
        """Checks a spec, journals the search, and starts it or takes it up again. Reads data off the loop."""
        ...

    async def pause(self, search: str, actor: Actor) -> None:
        """Starts nothing of the search any more, and stops its jobs at their next checkpoint."""
        ...

    async def resume(self, search: str, actor: Actor) -> None:
        """Lets a paused, stopped or failed search go on."""
        ...

    async def stop(self, search: str, actor: Actor) -> None:
        """Ends a search in good order; it can be resumed later."""
        ...

    async def prioritise(self, search: str, weight: float | None, priority: int | None, actor: Actor) -> None:
        """Changes a search's share of the devices; None leaves a value as it is."""
        ...

    async def extend(self, search: str, totals: Mapping[str, int], actor: Actor) -> None:
        """Raises totals of a search's strategy, e.g. `{"cycles": 200}`; a finished one goes on."""
        ...

    async def return_device(self, device: str, actor: Actor) -> None:
        """Takes a device that had left service back into it."""
        ...

    async def collect(self, delete: bool, grace_seconds: float) -> dict[str, Any]:
        """`coldframe gc` while searches run; returns what `--json` prints."""
        ...

    async def check(self) -> dict[str, Any]:
        """`coldframe check` while searches run; returns what `--json` prints."""
        ...
