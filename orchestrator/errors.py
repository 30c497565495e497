"""What can go wrong in the orchestrator.

OrchestratorError
├── SpecError
├── ConfigError
├── WrongState
├── Draining
├── SearchChanged
├── EndpointUnusable
├── TotalLowered
├── UnknownSearch
├── UnknownId
├── NoNetwork
├── RetrainRefused
├── InvalidTransition
├── InvariantBroken
├── WorkerHandshakeFailed
├── WrongThread
├── WorkersKeepDying
├── DeviceUnavailable
├── DeviceLost
├── UnknownDevice
├── MpsFailed
├── SimulationFailed
├── SimulationCrashed
├── SearchCrashed
├── ExtraMissing
├── DaemonGone
├── DaemonHolds
└── Refused
    ├── RefusedAccess
    ├── RefusedName
    ├── RefusedState
    ├── RefusedInput
    └── RefusedNow
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from strategies.errors import OptionProblem


class OrchestratorError(Exception):
    """Base of everything that the orchestrator raises; the class says which exit code follows."""

    exit_code = 2


Problem = OptionProblem
"""One thing that is wrong with a spec: its key, its value, and what was expected."""


class SpecError(OrchestratorError):
    """Raised when a spec cannot be used; names every key that is wrong, with its value and what was expected."""

    def __init__(self, file: str, problems: Sequence[Problem]) -> None:
        self.file, self.problems = file, tuple(problems)
        lines = "\n".join(f"  {problem}" for problem in self.problems)
        super().__init__(f"{file}: {len(self.problems)} problem{'s' * (len(self.problems) != 1)}\n{lines}")


class ConfigError(SpecError):
    """Raised when the daemon's configuration cannot be used; names every key that is wrong, as `SpecError` does."""


class WrongState(OrchestratorError):
    """Raised when a search, or a device, cannot be told to do something in the state that it is in."""

    def __init__(self, name: str, status: str, order: str, expected: str, thing: str = "search") -> None:
        self.status = status
        super().__init__(f"{thing} {name} is {status} and cannot be {order}: expected {expected}")


class EndpointUnusable(OrchestratorError):
    """Raised when the daemon cannot listen where it should, or a client cannot find out where it does."""

    def __init__(self, where: str, why: str) -> None:
        super().__init__(f"{where} {why}")


class Draining(OrchestratorError):
    """Raised when a daemon that is leaving is given an order."""

    exit_code = 75

    def __init__(self) -> None:
        super().__init__("the daemon is leaving and takes no orders: give it to the next one, once it is there")


class SearchChanged(OrchestratorError):
    """Raised when a search's spec no longer stands for the same search: what it names has changed."""

    def __init__(self, name: str, expected: str, found: str) -> None:
        super().__init__(
            f"search {name} was submitted as {expected[:12]} and would be {found[:12]} now: its data set, or what its "
            "space or strategy are by default, is not what it was. Put that back and resume it, or submit it anew"
        )


class TotalLowered(OrchestratorError):
    """Raised when a spec asks for less than the same search was asked for before."""

    def __init__(self, file: str, key: str, value: object, before: object) -> None:
        super().__init__(
            f"{file}: strategy.{key} is {value!r}, but this search was already set to {before!r} in this store. "
            f"Totals can only be raised: give {before!r} or more, or another `name` for a new search"
        )


class UnknownSearch(OrchestratorError):
    """Raised when no search, or more than one, goes by a name or an id's beginning, or there is none at all."""

    def __init__(self, name: str | None, found: Sequence[str]) -> None:
        self.found = tuple(found)
        if name is None:
            super().__init__("there is no search in this store yet; `coldframe submit SPEC.toml` hands one in")
            return
        how = f"stands for {len(found)}: {', '.join(item[:12] for item in found)}" if found else "is not in this store"
        super().__init__(f"search {name!r} {how}; `coldframe list` shows all")


class UnknownId(OrchestratorError):
    """Raised when nothing of a kind, or more than one, has an id that begins so."""

    def __init__(self, kind: str, text: str, found: Sequence[str]) -> None:
        shown = ", ".join(item[:32] for item in found[:5])
        self.found = tuple(found)
        how = f"stands for {len(found)}: {shown}" if found else "is not in this store (give 4 digits or more)"
        super().__init__(f"{kind} {text!r} {how}")


class NoNetwork(OrchestratorError):
    """Raised when something that was named has no trained network to take."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"{what} {why}")


class RetrainRefused(OrchestratorError):
    """Raised when the networks of a search cannot be retrained as was asked; says what to ask for instead."""

    def __init__(self, search: str, why: str) -> None:
        super().__init__(f"the networks of search {search!r} cannot be retrained like this: {why}")


class InvalidTransition(OrchestratorError):
    """Raised when a job is moved along an edge that its table does not have. This is a defect of coldframe."""

    exit_code = 70

    def __init__(self, job: str, start: str, finish: str, story: Sequence[str]) -> None:
        told = "".join(f"\n  {line}" for line in story)
        super().__init__(f"job {job[:12]} cannot go from {start} to {finish}; its story:{told}")


class InvariantBroken(OrchestratorError):
    """Raised when the scheduler's state contradicts itself. This is a defect of coldframe."""

    exit_code = 70

    def __init__(self, what: str) -> None:
        super().__init__(f"the scheduler's state is inconsistent: {what}")


class WorkerHandshakeFailed(OrchestratorError):
    """Raised when a worker process does not say hello as it should."""

    exit_code = 1

    def __init__(self, worker: str, why: str, log: str) -> None:
        super().__init__(f"worker {worker} did not start: {why}; its log is {log}")


class WrongThread(OrchestratorError):
    """Raised when a worker is started from another thread than the main one: it would die with it."""

    exit_code = 70

    def __init__(self, thread: str) -> None:
        super().__init__(f"workers must be started from the main thread, this is {thread}")


class WorkersKeepDying(OrchestratorError):
    """Raised when workers end without having had a job, again and again: something is wrong with the machine."""

    exit_code = 1

    def __init__(self, times: int, cause: str, log: str) -> None:
        super().__init__(f"workers ended {times} times in a row before they had a job, last: {cause}; see {log}")


class DeviceUnavailable(OrchestratorError):
    """Raised when the spec asks for a kind of device that this machine lacks."""

    def __init__(self, wanted: str, found: str) -> None:
        super().__init__(f"resources.device is {wanted!r}, but this machine has {found}")


class DeviceLost(OrchestratorError):
    """Raised when a driver says that a device is gone, or of no use before it is reset."""

    exit_code = 1

    def __init__(self, device: str, why: str) -> None:
        super().__init__(f"{device} is lost: {why}")


class UnknownDevice(OrchestratorError):
    """Raised when the daemon has no device of a name."""

    def __init__(self, device: str, known: Sequence[str]) -> None:
        super().__init__(f"there is no device {device!r}: expected one of {', '.join(known)}")


class MpsFailed(OrchestratorError):
    """Raised when NVIDIA's Multi-Process Service cannot be started."""

    exit_code = 1

    def __init__(self, program: str, why: str) -> None:
        super().__init__(f"{program} did not start: {why}")


class SimulationFailed(OrchestratorError):
    """Raised when a process that simulates searches ended before it was done."""

    exit_code = 1

    def __init__(self, status: int, said: str) -> None:
        super().__init__(f"a process that simulates searches ended with status {status}: {said.strip() or 'no words'}")


class SimulationCrashed(OrchestratorError):
    """Raised when the strategy of a simulated search raised."""

    exit_code = 1

    def __init__(self, search: str, seed: int, why: str) -> None:
        super().__init__(f"search {search!r} with seed {seed} ended with an error in its strategy: {why}")


class SearchCrashed(OrchestratorError):
    """Raised when a strategy's coroutine raised; the search is kept and can be run again."""

    exit_code = 1

    def __init__(self, search: str, why: str) -> None:
        super().__init__(f"search {search[:12]} ended with an error in its strategy: {why}")


class ExtraMissing(OrchestratorError):
    """Raised when something is asked for that needs a package which is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed: pip install 'coldframe[{extra}]'")


class DaemonGone(OrchestratorError):
    """Raised when no daemon answers where one was expected."""

    def __init__(self, where: str, why: str) -> None:
        super().__init__(f"no daemon answers at {where}: {why}")


class DaemonHolds(OrchestratorError):
    """Raised when a command needs a store for itself, and a daemon has it. `instead`: what to do, as a clause."""

    def __init__(self, store: str, instead: str) -> None:
        super().__init__(f"a daemon holds the store {store} and runs its searches: {instead}")


class Refused(OrchestratorError):
    """Raised when a daemon answers a client with an error; `kind` is the class of what it raised itself."""

    def __init__(self, status: int, error: Mapping[str, Any]) -> None:
        self.status = status
        self.kind = str(error.get("kind", "Refused"))
        self.exit_code = int(error.get("exit_code", 2))
        self.problems = tuple(error.get("problems", ()))
        lines = [str(error.get("message", f"the daemon answered with status {status}"))]
        if self.kind == "body":  # other messages name what is wrong themselves
            lines += [f"  {Problem(one['key'], one['value'], one['expected'])}" for one in self.problems]
        super().__init__("\n".join(lines))


class RefusedAccess(Refused):
    """Raised when a daemon does not let this user, or this token, do what was asked (401, 403)."""


class RefusedName(Refused):
    """Raised when a daemon knows nothing by a name (404)."""


class RefusedState(Refused):
    """Raised when a search cannot be told to do something in the state that it is in (409)."""


class RefusedInput(Refused):
    """Raised when a daemon cannot use what it was sent (400, 413, 422); `problems` names each key that is wrong."""


class RefusedNow(Refused):
    """Raised when a daemon cannot do it now: too many watch, it is about to end, its disk is full (429, 503, 507)."""


REFUSALS: Mapping[int, type[Refused]] = {
    **dict.fromkeys((401, 403), RefusedAccess),
    404: RefusedName,
    409: RefusedState,
    **dict.fromkeys((400, 413, 422), RefusedInput),
    **dict.fromkeys((429, 503, 507), RefusedNow),
}
"""Which class a status of the API becomes; others are `Refused`."""
