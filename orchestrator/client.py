"""A small client of the daemon, for notebooks, scripts and the command line. docs/client.md has an example.

    with Client.of("/srv/coldframe/store") as client:
        submitted = client.submit("search.toml", weight=2.0)
        for event in client.follow(submitted["search"]):
            ...
        best = client.result(submitted["search"]).best[0]

Over the Unix socket a daemon knows who asks; over TCP it wants the token, which is read from its file at each request
and shown to nobody. Whatever a daemon answers with an error is raised as one of `orchestrator.errors.Refused`.
"""

from __future__ import annotations

import time
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from orchestrator.errors import DaemonGone, Problem, SpecError
from orchestrator.fetching import Connection, Piece, Stream, Where
from orchestrator.results import SearchResult
from store.records.spec import SearchSpec

ENDED = frozenset({"finished", "failed", "stopped"})
"""What a search's status is when nothing of it goes on by itself."""
_ENDS = frozenset({"search_finished", "search_failed", "search_stopped"})
PATIENCE_SECONDS = 60.0
LONGEST_PAUSE_SECONDS = 5.0


class Client:
    """Speaks to one daemon.

    Args:
        url: of its TCP port, e.g. `http://127.0.0.1:8417`.
        token_file: the file that has the token for that; none where the daemon lets everybody read.
        timeout: seconds that an answer may take.
    """

    def __init__(self, url: str, *, token_file: str | Path | None = None, timeout: float = 60.0) -> None:
        token = Path(token_file) if token_file is not None else None
        self._connection = Connection(lambda: Where(url=url, token_file=token), timeout)

    @classmethod
    def of(cls, store: str | Path, *, timeout: float = 60.0) -> Self:
        """Returns a client of the daemon that holds a store on this machine, over its Unix socket.

        Raises:
            DaemonGone: if no daemon holds it.
        """
        client = cls.__new__(cls)
        client._connection = Connection(lambda: Where.of(Path(store)), timeout)
        client._connection.where()
        return client

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection; the next question would open another one."""
        self._connection.close()

    # What there is

    def version(self) -> dict[str, Any]:
        """Returns the daemon's `{version, python}`."""
        return self._get("/v1/version")

    def health(self) -> dict[str, Any]:
        """Returns how the daemon is: `{status, reason, uptime_seconds, sequence}`."""
        return self._get("/v1/health")

    def searches(self) -> list[dict[str, Any]]:
        """Returns every search, oldest first, as `coldframe list --json` prints them."""
        return self._list("/v1/searches")

    def status(self, search: str) -> dict[str, Any]:
        """Returns how far a search is, as `coldframe status --json` prints it."""
        return self._get(f"/v1/searches/{search}")

    def show(self, what: str) -> dict[str, Any]:
        """Returns everything about a search, job, checkpoint or candidate, as `coldframe show --json` prints it."""
        return self._get(f"/v1/show/{what}")

    def story(self, job: str) -> dict[str, Any]:
        """Returns what happened to a job, as `coldframe story --json` prints it."""
        return self._get(f"/v1/jobs/{job}/story")

    def why(self, search: str) -> dict[str, Any]:
        """Returns what a search waits for, and what would end each wait: `{search, name, waits: [{what, until}]}`."""
        return self._get(f"/v1/searches/{search}/why")

    def devices(self) -> list[dict[str, Any]]:
        """Returns every device as the daemon sees it now."""
        return self._list("/v1/devices")

    def log(self, job: str) -> str:
        """Returns what a job has printed so far."""
        return self.log_piece(job, 0).text

    def log_piece(self, job: str, offset: int) -> Piece:
        """Returns what a job has printed from an offset on, and the offset to go on from."""
        return self._connection.piece(f"/v1/jobs/{job}/log", offset)

    def result(self, search: str) -> SearchResult:
        """Returns a search's best candidates and its history; of one that goes on, as they are now."""
        return SearchResult.of(self._get(f"/v1/searches/{search}/result"))

    # Orders

    def submit(
        self, spec: str | Path | Mapping[str, Any] | SearchSpec, *, weight: float = 1.0, priority: int = 0
    ) -> dict[str, Any]:
        """Hands a search in: `{search, name, status, new}`. One that the store knows goes on.

        Args:
            spec: the path of a TOML file, what such a file holds, or a checked spec.
            weight: its share of the devices, beside searches of the same priority.
            priority: searches with a higher one go first.

        Raises:
            SpecError: if the file cannot be read.
            RefusedInput: if the daemon cannot use it; `problems` names every key that is wrong.
        """
        body = submission(spec) | {"weight": weight, "priority": priority}
        return dict(self._connection.ask("POST", "/v1/searches", body))

    def pause(self, search: str) -> None:
        """Lets a search start nothing more; its jobs stop at their next checkpoint."""
        self._connection.ask("POST", f"/v1/searches/{search}/pause")

    def resume(self, search: str) -> None:
        """Lets a paused, stopped or failed search go on."""
        self._connection.ask("POST", f"/v1/searches/{search}/resume")

    def stop(self, search: str) -> None:
        """Ends a search in good order; `resume` takes it up again."""
        self._connection.ask("POST", f"/v1/searches/{search}/stop")

    def prioritise(self, search: str, *, weight: float | None = None, priority: int | None = None) -> None:
        """Changes a search's share of the devices; None leaves a value as it is."""
        given = {"weight": weight, "priority": priority}
        body = {key: value for key, value in given.items() if value is not None}
        self._connection.ask("PUT", f"/v1/searches/{search}/priority", body)

    def extend(self, search: str, **totals: int) -> None:
        """Raises totals of a search's strategy, e.g. `cycles=200`; a finished one goes on."""
        self._connection.ask("POST", f"/v1/searches/{search}/extend", {"totals": totals})

    def return_device(self, device: str) -> None:
        """Takes a device that had left service back into it."""
        self._connection.ask("POST", f"/v1/devices/{device}/return")

    def gc(self, *, delete: bool = False, grace_seconds: float = 3600.0) -> dict[str, Any]:
        """Finds what nothing needs any more, and removes it with `delete`; answers as `coldframe gc --json` does."""
        return dict(self._connection.ask("POST", "/v1/gc", {"delete": delete, "grace_seconds": grace_seconds}, None))

    def check(self) -> dict[str, Any]:
        """Reads the whole store again; returns what `coldframe check --json` prints."""
        return dict(self._connection.ask("POST", "/v1/check", None, None))

    # What happens

    def events(self, search: str | None = None, *, after: int = 0) -> Iterator[dict[str, Any]]:
        """Yields the journal's events after a sequence number, up to the present, page by page."""
        while page := self._page(search, after):
            yield from page
            after = page[-1]["sequence"]

    def follow(
        self,
        search: str | None = None,
        *,
        after: int | None = None,
        until_end: bool = True,
        patience: float = PATIENCE_SECONDS,
    ) -> Iterator[dict[str, Any]]:
        """Yields events as they are committed, none twice and none left out, across restarts of the daemon.

        Args:
            search: of one search only, and until it ends; absent: of all, without an end.
            after: begin after this sequence number; absent: with what happens from now on.
            until_end: return when the search has ended.
            patience: seconds that the daemon may be away.

        Raises:
            DaemonGone: if it stays away.
        """
        after = int(self.health()["sequence"]) if after is None else after
        ending = search is not None and until_end
        if ending and search is not None and self.status(search)["status"] in ENDED:
            yield from self.events(search, after=after)
            return
        for event in self.stream(search, after=after, patience=patience):
            if "sequence" not in event:
                continue
            yield event
            if ending and search is not None and event["type"] in _ENDS and self.status(search)["status"] in ENDED:
                return

    def stream(
        self, search: str | None = None, *, after: int = 0, patience: float = PATIENCE_SECONDS
    ) -> Iterator[dict[str, Any]]:
        """Yields what `follow` does and, between, what is not journalled: maps without `sequence`, e.g. heartbeats.

        Raises:
            DaemonGone: if the daemon stays away for longer than `patience` seconds.
        """
        stream = Stream(self._connection, search, after)
        lost: float | None = None
        pause = 0.1
        while True:
            try:
                for event in stream.events():
                    lost, pause = None, 0.1
                    yield event
            except DaemonGone:
                lost = time.monotonic() if lost is None else lost
                if time.monotonic() - lost >= patience:
                    raise
                time.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    def wait(self, search: str, *, patience: float = PATIENCE_SECONDS) -> dict[str, Any]:
        """Waits until a search has ended (finished, failed or stopped), and returns its status then."""
        with suppress(StopIteration):
            events = self.follow(search, patience=patience)
            while True:
                next(events)
        return self.status(search)

    def _page(self, search: str | None, after: int) -> list[dict[str, Any]]:
        wanted = {"after": str(after)} | ({} if search is None else {"search": search})
        return list(self._connection.ask("GET", "/v1/events", None, params=wanted)["events"])

    def _get(self, path: str) -> dict[str, Any]:
        return dict(self._connection.ask("GET", path))

    def _list(self, path: str) -> list[dict[str, Any]]:
        return list(self._connection.ask("GET", path))


def submission(spec: str | Path | Mapping[str, Any] | SearchSpec) -> dict[str, Any]:
    """Returns the body with which a spec is handed in.

    Raises:
        SpecError: if the file cannot be read.
    """
    if isinstance(spec, SearchSpec):
        return {"spec": spec.model_dump(mode="json", exclude_none=True), "folder": str(Path.cwd())}
    if isinstance(spec, Mapping):
        return {"spec": dict(spec), "folder": str(Path.cwd())}
    path = Path(spec)
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SpecError(str(path), [Problem("file", None, f"cannot be read: {error.strerror}")]) from error
    except (ValueError, RecursionError) as error:
        raise SpecError(str(path), [Problem("file", None, f"is not TOML: {error}")]) from error
    return {"spec": raw, "file": str(path), "folder": str(path.absolute().parent)}
