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

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from orchestrator.errors import DaemonGone, RefusedName, UnknownSearch
from orchestrator.fetching import Connection, Piece, Stream, Where
from orchestrator.results import SearchResult
from orchestrator.submitting import submission
from store.records.spec import SearchSpec

ENDED = frozenset({"finished", "failed", "stopped"})
"""What a search's status is when nothing of it goes on by itself."""
_UNFIT = re.compile("[\ud800-\udfff]")
"""What stands in an argument for bytes that are no UTF-8."""
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

    @property
    def where(self) -> str:
        """Where the daemon listens: a Unix socket's path, or a URL."""
        return str(self._connection.where())

    def again(self) -> Self:
        """Returns another client of the same daemon, with a connection of its own: for a thread of its own."""
        other = type(self).__new__(type(self))
        other._connection = self._connection.again()
        return other

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
        return self._get(f"/v1/searches/{self.quoted(search)}")

    def show(self, what: str) -> dict[str, Any]:
        """Returns everything about a search, job, checkpoint or candidate, as `coldframe show --json` prints it."""
        return self._get(f"/v1/show/{self.quoted(what)}")

    def story(self, job: str) -> dict[str, Any]:
        """Returns what happened to a job, as `coldframe story --json` prints it."""
        return self._get(f"/v1/jobs/{self.quoted(job)}/story")

    def why(self, search: str) -> dict[str, Any]:
        """Returns what a search waits for, and what would end each wait: `{search, name, waits: [{what, until}]}`."""
        return self._get(f"/v1/searches/{self.quoted(search)}/why")

    def devices(self) -> list[dict[str, Any]]:
        """Returns every device as the daemon sees it now."""
        return self._list("/v1/devices")

    def log(self, job: str) -> str:
        """Returns what a job has printed so far."""
        return self.log_piece(job, 0).text

    def log_piece(self, job: str, offset: int) -> Piece:
        """Returns what a job has printed from an offset on, and the offset to go on from."""
        return self._connection.piece(f"/v1/jobs/{self.quoted(job)}/log", offset)

    def rungs(self, search: str) -> list[dict[str, Any]]:
        """Returns a search's accuracy per rung, fewest epochs first: `[{epochs, candidates, mean, best, points}]`."""
        return list(self._get(f"/v1/searches/{self.quoted(search)}/rungs")["rungs"])

    def result(self, search: str) -> SearchResult:
        """Returns a search's best candidates and its history; of one that goes on, as they are now."""
        return SearchResult.of(self._get(f"/v1/searches/{self.quoted(search)}/result"))

    def lines(self, path: str, **params: str) -> str:
        """Returns what a command prints for people, as the daemon writes it."""
        return self._connection.text(path, params)

    def quoted(self, name: str) -> str:
        """Returns a name as it can stand in a URL's path; a search's name that cannot is replaced by its id.

        Raises:
            RefusedName: if it cannot, and no search, or more than one, goes by it.
        """
        if "/" in name or name in {"", ".", ".."} or _UNFIT.search(name):
            found = [search["search"] for search in self.searches() if search["name"] == name]
            if len(found) != 1:
                raise RefusedName(404, {"kind": "UnknownSearch", "message": str(UnknownSearch(name, found))})
            name = found[0]
        return quote(name, safe="")

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
        self.order("pause", search)

    def resume(self, search: str) -> None:
        """Lets a paused, stopped or failed search go on."""
        self.order("resume", search)

    def stop(self, search: str) -> None:
        """Ends a search in good order; `resume` takes it up again."""
        self.order("stop", search)

    def prioritise(self, search: str, *, weight: float | None = None, priority: int | None = None) -> None:
        """Changes a search's share of the devices; None leaves a value as it is."""
        self.order("prioritise", search, weight=weight, priority=priority)

    def extend(self, search: str, **totals: int) -> None:
        """Raises totals of a search's strategy, e.g. `cycles=200`; a finished one goes on."""
        self.order("extend", search, totals=totals)

    def order(self, verb: str, search: str, **given: Any) -> dict[str, Any]:
        """Gives an order by its name: `{search, name, status}`. What is None is left as it is."""
        method, last = ("PUT", "priority") if verb == "prioritise" else ("POST", verb)
        body = {key: value for key, value in given.items() if value is not None}
        return dict(self._connection.ask(method, f"/v1/searches/{self.quoted(search)}/{last}", body or None))

    def return_device(self, device: str) -> None:
        """Takes a device that had left service back into it."""
        self._connection.ask("POST", f"/v1/devices/{self.quoted(device)}/return")

    def gc(self, *, delete: bool = False, grace_seconds: float = 3600.0) -> dict[str, Any]:
        """Finds what nothing needs any more, and removes it with `delete`; answers as `coldframe gc --json` does."""
        return dict(self._connection.ask("POST", "/v1/gc", {"delete": delete, "grace_seconds": grace_seconds}, None))

    def check(self) -> dict[str, Any]:
        """Reads the whole store again; returns what `coldframe check --json` prints."""
        return dict(self._connection.ask("POST", "/v1/check", None, None))

    # What happens

    def events(self, search: str | None = None, *, after: int = 0) -> Iterator[dict[str, Any]]:
        """Yields the journal's events after a sequence number, up to the present, page by page."""
        while True:
            wanted = {"after": str(after)} | ({} if search is None else {"search": search})
            page = self._connection.ask("GET", "/v1/events", None, params=wanted)
            yield from page["events"]
            if page["next"] in {after, page["last"]}:
                return
            after = page["next"]

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
        self,
        search: str | None = None,
        *,
        after: int = 0,
        patience: float = PATIENCE_SECONDS,
        away: Callable[[str | None], None] = lambda reason: None,
    ) -> Iterator[dict[str, Any]]:
        """Yields what `follow` does and, between, what is not journalled: maps without `sequence`, e.g. heartbeats.

        Args:
            search: of one search only.
            after: begin after this sequence number.
            patience: seconds that the daemon may be away.
            away: told why nothing comes, and None when it does again.

        Raises:
            DaemonGone: if the daemon stays away for longer than `patience` seconds.
        """
        stream = Stream(self._connection, search, after)
        lost: float | None = None
        pause = 0.1
        while True:
            try:
                for event in stream.events():
                    if lost is not None:
                        away(None)
                    lost, pause = None, 0.1
                    yield event
            except DaemonGone as error:
                away(str(error))
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

    def _get(self, path: str) -> dict[str, Any]:
        return dict(self._connection.ask("GET", path))

    def _list(self, path: str) -> list[dict[str, Any]]:
        return list(self._connection.ask("GET", path))
