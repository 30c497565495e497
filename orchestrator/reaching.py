"""Where a command finds its answers: the daemon that holds a store, one at a URL, or the store itself.

Answers are the same either way (`orchestrator.answers`). Orders to a store that no daemon holds are written into its
journal, under its lock; the next daemon carries them out.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgpack

from orchestrator import answers, collector, rendering
from orchestrator.errors import DaemonGone
from orchestrator.holding import holder
from orchestrator.serving import endpoint, joblogs
from orchestrator.views import History, find, progress
from store.opening import Store

if TYPE_CHECKING:
    from orchestrator.client import Client


LOOK_SECONDS = 0.5


class Source(Protocol):
    """What a command may ask and order. Raises `OrchestratorError`s and `StoreError`s alone."""

    where: str
    """The store's folder, or where the daemon listens."""
    live: bool
    """Whether a daemon answers."""

    def searches(self) -> list[dict[str, Any]]:
        """As `coldframe list --json`."""
        ...

    def status(self, search: str | None) -> dict[str, Any]:
        """As `coldframe status --json`; of the latest search if none is named."""
        ...

    def status_lines(self, search: str | None) -> list[str]:
        """What `coldframe status` prints."""
        ...

    def show(self, text: str) -> dict[str, Any]:
        """As `coldframe show --json`."""
        ...

    def show_lines(self, text: str, width: int) -> list[str]:
        """What `coldframe show` prints below that."""
        ...

    def story(self, job: str) -> dict[str, Any]:
        """As `coldframe story --json`."""
        ...

    def why(self, search: str) -> dict[str, Any]:
        """As `coldframe why --json`."""
        ...

    def devices(self) -> list[dict[str, Any]]:
        """As `coldframe devices --json`."""
        ...

    def health(self) -> dict[str, Any]:
        """How the daemon is: `{status, reason, uptime_seconds, sequence}`."""
        ...

    def rungs(self, search: str) -> list[dict[str, Any]]:
        """Accuracy of a search per rung: `[{epochs, mean, best, …}]`."""
        ...

    def events(self, after: int, away: Callable[[str | None], None]) -> Iterator[Mapping[str, Any]]:
        """What happens after an event, for ever; `away` is told why nothing comes, and None when it does again."""
        ...

    def log(self, job: str, offset: int) -> tuple[str, int, bool]:
        """What a job printed from an offset on, the offset to go on from, and whether the job is over."""
        ...

    def order(self, verb: str, search: str, **given: Any) -> dict[str, Any]:
        """Gives an order: `pause`, `resume`, `stop`, `prioritise` or `extend`; answers `{search, name, status}`."""
        ...

    def submit(self, spec: Path, weight: float, priority: int) -> dict[str, Any]:
        """Hands a search in: `{search, name, status, new, daemon}`."""
        ...

    def return_device(self, device: str) -> None:
        """Takes a device that has left service back into it."""
        ...

    def gc(self, delete: bool, grace_seconds: float) -> dict[str, Any]:
        """As `coldframe gc --json`."""
        ...

    def check(self) -> dict[str, Any]:
        """As `coldframe check --json`."""
        ...


def serving(store: Path) -> bool:
    """Says whether a daemon holds a store on this machine: its note is there, and its process has the lock.

    Raises:
        EndpointUnusable: if this user may not read the note.
    """
    found = endpoint.read(store)
    return found is not None and found.pid == holder(store)


@contextmanager
def reach(store: Path | None, url: str | None, token_file: Path | None) -> Iterator[Source]:
    """Opens the way to a daemon, or to a store.

    Args:
        store: the store's folder; None if a URL is given.
        url: of a daemon's TCP port.
        token_file: has the token for it.

    Raises:
        DaemonGone: if the daemon does not answer.
    """
    if url is None and store is not None and not serving(store):
        yield Direct(store)
        return
    from orchestrator.client import Client

    with Client(url, token_file=token_file) if url is not None else Client.of(store or Path()) as client:
        yield Served(client)


class Direct:
    """A store that no daemon holds.

    Args:
        folder: of the store.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._history = History()
        self.where, self.live = str(folder), False

    def searches(self) -> list[dict[str, Any]]:
        """Reads the journal."""
        with self._known() as known:
            return answers.searches(known)

    def status(self, search: str | None) -> dict[str, Any]:
        """Reads the journal."""
        with self._known() as known:
            return answers.status(known, search)

    def status_lines(self, search: str | None) -> list[str]:
        """Reads the journal."""
        with self._known() as known:
            return list(rendering.status_lines(known, search))

    def show(self, text: str) -> dict[str, Any]:
        """Reads the journal."""
        with self._known() as known:
            return answers.show(known, text)

    def show_lines(self, text: str, width: int) -> list[str]:
        """Reads the journal."""
        with self._known() as known:
            return list(rendering.show_lines(known, text, width))

    def story(self, job: str) -> dict[str, Any]:
        """Reads the journal."""
        with self._known() as known:
            return answers.story(known, job)

    def why(self, search: str) -> dict[str, Any]:
        """Reads the journal."""
        with self._known() as known:
            return answers.why(known, search)

    def devices(self) -> list[dict[str, Any]]:
        """Asks the driver."""
        return answers.devices()

    def health(self) -> dict[str, Any]:
        """Says that there is no daemon."""
        with self._known() as known:
            status = "no daemon: another process runs searches" if known.alive else "no daemon"
        return {"status": status, "reason": "", "uptime_seconds": 0.0, "sequence": self._history.sequence}

    def rungs(self, search: str) -> list[dict[str, Any]]:
        """Reads the journal."""
        from orchestrator.api.charts import rungs

        with self._known() as known:
            return rungs(progress(known.history, search))

    def events(self, after: int, away: Callable[[str | None], None]) -> Iterator[Mapping[str, Any]]:
        """Looks into the journal again and again."""
        while True:
            with Store.open(self._folder, write=False) as store:
                for row in store.journal.raw(after):
                    after = row.sequence
                    yield {"sequence": after, "time": row.time} | msgpack.unpackb(row.payload, raw=False)
            time.sleep(LOOK_SECONDS)

    def log(self, job: str, offset: int) -> tuple[str, int, bool]:
        """Reads the job's file; it is over unless it runs, or waits for a process that runs searches."""
        with self._known() as known:
            view = known.history.jobs[find.job(known.history, job)]
            over = not known.alive or view.state not in {"queued", "running"}
        piece = joblogs.read(self._folder, view.id, offset)
        return piece.text, piece.end, over

    def order(self, verb: str, search: str, **given: Any) -> dict[str, Any]:
        """Writes the order into the journal."""
        from orchestrator import ordering

        return ordering.order(self._folder, verb, search, **given)

    def submit(self, spec: Path, weight: float, priority: int) -> dict[str, Any]:
        """Writes the search into the journal, for the next daemon."""
        from orchestrator import ordering

        return ordering.submit(self._folder, spec, weight, priority) | {"daemon": False}

    def return_device(self, device: str) -> None:
        """Refuses: no device is out of service where no daemon has them.

        Raises:
            DaemonGone: always.
        """
        raise DaemonGone(str(self._folder), f"no daemon holds this store, so {device} is not out of service")

    def gc(self, delete: bool, grace_seconds: float) -> dict[str, Any]:
        """Collects garbage under the store's lock."""
        from store.gc import collect

        return collect(self._folder, dry_run=not delete, grace_seconds=grace_seconds).model_dump(mode="json")

    def check(self) -> dict[str, Any]:
        """Reads the whole store."""
        from store.check import check

        report = check(self._folder, progress=_progress if sys.stderr.isatty() else None)
        return report.model_dump(mode="json")

    @contextmanager
    def _known(self) -> Iterator[answers.Known]:
        """Opens the store, and folds what the journal has got since it was opened last."""
        with Store.open(self._folder, write=False) as store:
            with collector.paused():
                for row in store.journal.raw(self._history.sequence):
                    self._history.apply(row.sequence, row.time, row.type, msgpack.unpackb(row.payload, raw=False))
            yield answers.Known(store, self._history, holder(self._folder) is not None)


class Served:
    """A daemon.

    Args:
        client: that speaks to it.
    """

    def __init__(self, client: Client) -> None:
        self.client = client
        self.where, self.live = client.where, True

    def searches(self) -> list[dict[str, Any]]:
        """Asks the daemon."""
        return self.client.searches()

    def status(self, search: str | None) -> dict[str, Any]:
        """Asks the daemon."""
        return self.client.status(self._search(search))

    def status_lines(self, search: str | None) -> list[str]:
        """Asks the daemon, which writes them."""
        return self.client.lines(f"/v1/searches/{self.client.quoted(self._search(search))}").splitlines()

    def show(self, text: str) -> dict[str, Any]:
        """Asks the daemon."""
        return self.client.show(text)

    def show_lines(self, text: str, width: int) -> list[str]:
        """Asks the daemon, which writes them."""
        return self.client.lines(f"/v1/show/{self.client.quoted(text)}", width=str(width)).splitlines()

    def story(self, job: str) -> dict[str, Any]:
        """Asks the daemon."""
        return self.client.story(job)

    def why(self, search: str) -> dict[str, Any]:
        """Asks the daemon."""
        return self.client.why(search)

    def devices(self) -> list[dict[str, Any]]:
        """Asks the daemon."""
        return self.client.devices()

    def health(self) -> dict[str, Any]:
        """Asks the daemon."""
        return self.client.health()

    def rungs(self, search: str) -> list[dict[str, Any]]:
        """Asks the daemon."""
        return self.client.rungs(search)

    def events(self, after: int, away: Callable[[str | None], None]) -> Iterator[Mapping[str, Any]]:
        """Reads the daemon's stream over a connection of its own, and waits for the next daemon when it ends."""
        with self.client.again() as client:
            yield from client.stream(after=after, patience=math.inf, away=away)

    def log(self, job: str, offset: int) -> tuple[str, int, bool]:
        """Asks the daemon, first whether the job is over: what it printed is whole then."""
        over = self.client.story(job)["state"] not in {"queued", "running"}
        piece = self.client.log_piece(job, offset)
        return piece.text, piece.end, over

    def order(self, verb: str, search: str, **given: Any) -> dict[str, Any]:
        """Gives the order to the daemon."""
        return self.client.order(verb, search, **given)

    def submit(self, spec: Path, weight: float, priority: int) -> dict[str, Any]:
        """Hands the search to the daemon."""
        return self.client.submit(spec, weight=weight, priority=priority) | {"daemon": True}

    def return_device(self, device: str) -> None:
        """Tells the daemon."""
        self.client.return_device(device)

    def gc(self, delete: bool, grace_seconds: float) -> dict[str, Any]:
        """Has the daemon do it."""
        return self.client.gc(delete=delete, grace_seconds=grace_seconds)

    def check(self) -> dict[str, Any]:
        """Has the daemon do it."""
        return self.client.check()

    def _search(self, search: str | None) -> str:
        """The search that is meant: the one of which something happened last, if none is named."""
        if search is not None:
            return search
        latest: Mapping[str, Any] | None = max(self.searches(), key=lambda one: one["seen"], default=None)
        if latest is None:
            from orchestrator.errors import UnknownSearch

            raise UnknownSearch(None, [])
        return str(latest["search"])


def _progress(done: int, total: int) -> None:
    sys.stderr.write(f"\r{done} of {total}" + "\n" * (done == total))
    sys.stderr.flush()
