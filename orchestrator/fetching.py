"""How a client's questions reach a daemon: a connection over HTTP, and streams of events that find their way back."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from orchestrator.errors import REFUSALS, DaemonGone, Refused
from orchestrator.serving import endpoint
from orchestrator.streaming import Decoder
from orchestrator.submitting import sendable

SILENCE_SECONDS = 45.0
"""A stream that brings nothing for so long is taken up anew; a daemon says something every 15 seconds."""


class Piece(NamedTuple):
    """A part of what a job printed. `end`: the offset to go on from."""

    text: str
    end: int


@dataclass(frozen=True, slots=True)
class Where:
    """Where a daemon listens: a Unix socket, or a URL and the file of its token."""

    socket: str | None = None
    url: str = "http://localhost"
    token_file: Path | None = None

    @classmethod
    def of(cls, store: Path) -> Where:
        """Finds the daemon of a store on this machine.

        Raises:
            DaemonGone: if no daemon has left a note there.
            EndpointUnusable: if this user may not read it.
        """
        found = endpoint.read(store)
        if found is None:
            raise DaemonGone(str(store), "none holds this store; `coldframe serve` starts one")
        return cls(socket=found.socket)

    def __str__(self) -> str:
        return self.socket or self.url


class Connection:
    """Asks questions, one at a time.

    Args:
        find: says where the daemon is; asked again after a connection was lost, since a new daemon may be elsewhere.
        timeout: seconds that an answer may take.
    """

    def __init__(self, find: Callable[[], Where], timeout: float) -> None:
        self._find, self._timeout = find, timeout
        self._open: tuple[Where, httpx.Client] | None = None

    def where(self) -> Where:
        """Returns where the daemon is; raises what `find` raises."""
        return self._client()[0]

    def again(self) -> Connection:
        """Returns another connection to the same place."""
        return Connection(self._find, self._timeout)

    def close(self) -> None:
        """Closes what is open."""
        if self._open is not None:
            self._open[1].close()
            self._open = None

    def ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        timeout: float | None = -1.0,
        params: Mapping[str, str] | None = None,
    ) -> Any:
        """Asks, and returns the JSON of the answer.

        Args:
            method: of HTTP.
            path: of the URL; it is escaped.
            body: sent as JSON.
            timeout: in seconds; None: as long as it takes; absent: as the connection was made.
            params: of the URL.

        Raises:
            DaemonGone: if there is no answer.
            Refused: if the answer is an error.
            SpecError: if JSON cannot carry the body.
        """
        wait = self._timeout if timeout == -1.0 else timeout
        sent = None if body is None else sendable("order", body)
        return self._send(method, path, json=sent, timeout=wait, params=params).json()

    def text(self, path: str, params: Mapping[str, str] | None = None) -> str:
        """Returns what people read at a path: the lines that the command prints; raises as `ask` does."""
        return self._send("GET", path, params=params, headers={"accept": "text/plain"}).text

    def piece(self, path: str, offset: int) -> Piece:
        """Returns a text from an offset on; raises as `ask` does."""
        answer = self._send("GET", path, params={"offset": str(offset)})
        return Piece(answer.text, int(answer.headers.get("x-end", offset + len(answer.content))))

    def lines(self, params: Mapping[str, str]) -> Iterator[bytes]:
        """Yields the bytes of the stream of events; returns when the daemon ends it.

        Raises:
            DaemonGone: if the connection breaks.
            Refused: if the answer is an error.
        """
        where, client = self._client()
        limits = httpx.Timeout(self._timeout, read=SILENCE_SECONDS)
        headers = {"accept": "text/event-stream"} | _authorisation(where)
        try:
            with client.stream("GET", "/v1/events", params=params, headers=headers, timeout=limits) as answer:
                if answer.is_error:
                    answer.read()
                    raise _refusal(answer)
                yield from answer.iter_bytes()
        except httpx.HTTPError as error:
            self.close()
            raise DaemonGone(str(where), _reason(error)) from error

    def _send(self, method: str, path: str, **given: Any) -> httpx.Response:
        where, client = self._client()
        headers = given.pop("headers", {}) | _authorisation(where)
        try:
            answer = client.request(method, path, headers=headers, **given)
        except httpx.HTTPError as error:
            self.close()
            raise DaemonGone(str(where), _reason(error)) from error
        if answer.is_error:
            raise _refusal(answer)
        return answer

    def _client(self) -> tuple[Where, httpx.Client]:
        if self._open is None:
            where = self._find()
            if where.socket is not None:
                _knock(where.socket)
            # Where no TLS is spoken the machine's certificates are not read: that takes longer than most answers.
            transport = httpx.HTTPTransport(uds=where.socket, verify=where.url.startswith("https"), trust_env=False)
            try:
                # A proxy of the environment is for other hosts; it must not see the token.
                client = httpx.Client(base_url=where.url, transport=transport, timeout=self._timeout, trust_env=False)
            except httpx.InvalidURL as error:
                raise DaemonGone(where.url, f"that is no URL: {error}") from error
            self._open = where, client
        return self._open


class Stream:
    """A stream of events that goes on where it broke off.

    Args:
        connection: to the daemon.
        search: of which events are wanted; None: of all.
        after: the sequence number after which to begin.
    """

    def __init__(self, connection: Connection, search: str | None, after: int) -> None:
        self._connection, self._search, self._after = connection, search, after

    def events(self) -> Iterator[dict[str, Any]]:
        """Yields events until the daemon ends the stream.

        Raises:
            DaemonGone: when it has: call it again to go on.
        """
        params = {"after": str(self._after)} | ({} if self._search is None else {"search": self._search})
        decoder = Decoder()
        for data in self._connection.lines(params):
            for message in decoder.feed(data):
                event = json.loads(message.data)
                if isinstance(event, dict):
                    event.setdefault("type", message.event)
                    self._after = event.get("sequence", self._after)
                    yield event
        raise DaemonGone(str(self._connection.where()), "it ended the stream")


def _knock(path: str) -> None:
    """Looks whether anybody listens on a socket: httpx leaves a socket unclosed that it could not connect.

    Raises:
        DaemonGone: if nobody does, or this user may not connect.
    """
    with socket.socket(socket.AF_UNIX) as knocking:
        try:
            knocking.connect(path)
        except OSError as error:
            raise DaemonGone(path, f"{error.strerror}; `coldframe serve` starts one") from error


def _authorisation(where: Where) -> dict[str, str]:
    if where.token_file is None:
        return {}
    try:
        token = where.token_file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise DaemonGone(where.url, f"the token's file {where.token_file} cannot be read: {error.strerror}") from error
    return {"authorization": f"Bearer {token}"}


def _refusal(answer: httpx.Response) -> Refused:
    try:
        error = answer.json()["error"]
    except (ValueError, KeyError, TypeError):
        error = {"message": f"{answer.url.path} was answered with status {answer.status_code} and no reason"}
    return REFUSALS.get(answer.status_code, Refused)(answer.status_code, error)


def _reason(error: httpx.HTTPError) -> str:
    words = {
        httpx.ConnectTimeout: "it did not take the connection in time",
        httpx.ReadTimeout: "it took the question and did not answer in time",
        httpx.RemoteProtocolError: "it broke the connection off",
    }
    return next((said for kind, said in words.items() if isinstance(error, kind)), str(error) or type(error).__name__)
