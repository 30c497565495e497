"""Server-sent events, from bytes to messages. No I/O: whoever reads a stream feeds it in."""

from __future__ import annotations

from typing import NamedTuple


class Message(NamedTuple):
    """One server-sent event; `id` is the last one that the stream has given, empty before the first."""

    event: str
    data: str
    id: str


class Decoder:
    """Takes bytes as they come and gives back the messages that are complete.

    Lines end with a line feed, after a carriage return or not. (The standard's lone carriage returns are not known
    here, and the other line ends that Unicode has are none: JSON may hold them.)
    """

    def __init__(self) -> None:
        self._rest = b""
        self._id = ""
        self._event, self._data = "", list[str]()

    def feed(self, data: bytes) -> list[Message]:
        """Returns the messages that end within these bytes."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        found = [self._line(line.removesuffix(b"\r").decode("utf-8", "replace")) for line in lines]
        return [message for message in found if message is not None]

    def _line(self, line: str) -> Message | None:
        if not line:
            return self._dispatch()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "event":
                self._event = value
            case "data":
                self._data.append(value)
            case "id":
                self._id = value
        return None

    def _dispatch(self) -> Message | None:
        message = Message(self._event or "message", "\n".join(self._data), self._id) if self._data else None
        self._event, self._data = "", []
        return message
