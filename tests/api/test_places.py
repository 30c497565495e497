"""Where the daemon listens: sockets, their modes, stale ones, long paths; the token's file; the note for clients."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.api import sockets, tokens
from orchestrator.errors import EndpointUnusable
from orchestrator.serving import endpoint
from orchestrator.serving.config import ApiConfig, TcpConfig
from orchestrator.serving.endpoint import Endpoint
from tests.api.client import local
from tests.api.fake import configured, serving


@pytest.fixture(autouse=True)
def open_umask() -> Iterator[None]:
    """The worst umask that an operator may have."""
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def bind(path: Path, **api: Any) -> socket.socket:
    return sockets.unix(path, ApiConfig(**api))


def test_the_socket_is_its_owners_alone_from_its_first_moment(tmp_path: Path) -> None:
    path = endpoint.socket_path(tmp_path)
    assert mode(path.parent) == 0o700
    with bind(path):
        assert (mode(path), mode(path.parent)) == (0o600, 0o700)


def test_a_folder_that_was_open_is_closed(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir(mode=0o777)
    with bind(endpoint.socket_path(tmp_path)):
        assert mode(tmp_path / "run") == 0o700


def test_a_socket_that_a_dead_daemon_left_is_taken_over_and_a_live_one_is_not(tmp_path: Path) -> None:
    path = endpoint.socket_path(tmp_path)
    bind(path).close()
    assert path.exists()
    with bind(path):
        with pytest.raises(EndpointUnusable, match="a process listens there"):
            bind(path)
        assert path.exists()


def test_what_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = endpoint.socket_path(tmp_path)
    path.write_text("precious")
    with pytest.raises(EndpointUnusable, match="no socket"):
        bind(path)
    assert path.read_text() == "precious"


def test_a_store_that_lies_too_deep_has_a_short_socket_of_its_users_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    runtime = Path(tempfile.mkdtemp(dir="/tmp"))  # a short one, as users have: pytest's own is deep under xdist
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    path = endpoint.socket_path(deep)
    assert len(os.fsencode(path)) <= endpoint.LONGEST_PATH
    assert path.parent == runtime / "coldframe"
    assert mode(path.parent) == 0o700
    assert path != endpoint.socket_path(deep / "other")
    with bind(path):
        assert mode(path) == 0o600


def test_a_short_socket_is_not_put_where_others_could(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path / ("d" * 120)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "coldframe").mkdir(mode=0o777)
    with pytest.raises(EndpointUnusable, match="0700"):
        endpoint.socket_path(deep)
    (tmp_path / "coldframe").rmdir()
    (tmp_path / "coldframe").symlink_to(tmp_path)
    with pytest.raises(EndpointUnusable, match="0700"):
        endpoint.socket_path(deep)


def test_a_short_sockets_folder_may_let_others_pass_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `api.users` the folder is 0711 after the first start, and the second must take it so."""
    deep = tmp_path / ("d" * 120)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with bind(endpoint.socket_path(deep), users=("root",)) as bound:
        assert mode(Path(bound.getsockname()).parent) == 0o711
    with bind(endpoint.socket_path(deep)) as bound:
        assert mode(Path(bound.getsockname()).parent) == 0o700


def test_a_runtime_folder_that_is_not_there_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "logged out"))
    assert endpoint.socket_path(tmp_path / ("d" * 120)).parent == Path(f"/tmp/coldframe-{os.getuid()}")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file")
    with pytest.raises(EndpointUnusable, match="run cannot be made for the socket"):
        endpoint.socket_path(tmp_path)


def test_a_configured_socket_that_is_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EndpointUnusable, match="107 bytes at most"):
        endpoint.socket_path(tmp_path, tmp_path / ("x" * 120))


def test_names_that_are_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EndpointUnusable, match="no such group"):
        bind(tmp_path / "one.sock", group="no-such-group")
    with pytest.raises(EndpointUnusable, match="cannot be listened on"):
        bind(tmp_path / "no such folder" / "one.sock")
    with pytest.raises(EndpointUnusable, match="no address"):
        sockets.tcp(TcpConfig(host="no-such-host.invalid", token_file=tmp_path / "token"))


def test_a_port_that_is_taken_is_refused(tmp_path: Path) -> None:
    with sockets.tcp(TcpConfig(port=0, token_file=tmp_path / "token")) as held:
        with pytest.raises(EndpointUnusable, match="cannot be listened on"):
            sockets.tcp(TcpConfig(port=held.getsockname()[1], token_file=tmp_path / "token"))


def test_a_token_is_made_once_of_256_bits_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "token"
    token = tokens.load(file)
    assert len(token) == 43
    assert mode(file) == 0o600
    assert tokens.load(file) == token
    assert tokens.load(tmp_path / "another") != token


@pytest.mark.parametrize("open_to", [0o644, 0o640, 0o604, 0o660])
def test_a_token_that_others_may_have_read_is_refused(tmp_path: Path, open_to: int) -> None:
    file = tmp_path / "token"
    tokens.load(file)
    file.chmod(open_to)
    with pytest.raises(EndpointUnusable, match="mode 0600"):
        tokens.load(file)


@pytest.mark.parametrize("content", ["", "short", "x" * 31, "two words " * 8, "línea" * 10, "a" * 40 + "\n" + "b" * 40])
def test_a_weak_token_is_refused_and_not_told(tmp_path: Path, content: str) -> None:
    file = tmp_path / "token"
    file.write_text(content)
    file.chmod(0o600)
    with pytest.raises(EndpointUnusable) as refused:
        tokens.load(file)
    assert not content or content not in str(refused.value)


def test_a_token_is_not_read_through_a_link(tmp_path: Path) -> None:
    tokens.load(tmp_path / "real")
    (tmp_path / "token").symlink_to(tmp_path / "real")
    with pytest.raises(EndpointUnusable):
        tokens.load(tmp_path / "token")
    with pytest.raises(EndpointUnusable):
        tokens.load(tmp_path / "no such folder" / "token")


def test_the_note_leads_to_the_daemon_until_it_is_removed(tmp_path: Path) -> None:
    assert endpoint.read(tmp_path) is None
    note = Endpoint(pid=1, socket="/s", tcp="http://127.0.0.1:1", token_file="/t", version="1")
    endpoint.write(tmp_path, note)
    assert endpoint.read(tmp_path) == note
    (tmp_path / "run" / "daemon.json").write_text('{"pid": ')
    assert endpoint.read(tmp_path) is None
    endpoint.remove(tmp_path)
    endpoint.remove(tmp_path)
    assert not (tmp_path / "run" / "daemon.json").exists()


async def test_a_daemon_leaves_nothing_behind(tmp_path: Path) -> None:
    async with serving(configured(tmp_path)) as served:
        assert endpoint.read(tmp_path / "store") == served.endpoint
        async with local(served) as http:
            assert (await http.get("/v1/health")).status_code == 200
    assert sorted(path.name for path in (tmp_path / "store" / "run").iterdir()) == []
