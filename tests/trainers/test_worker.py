"""The worker as a process: how it begins, how it ends, and what cannot disturb it."""

from __future__ import annotations

import os
import re
import select
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from store.records.candidates import Fault, Named
from store.records.messages import PROTOCOL, Exit, Failed, Finished, Hello, Progress, Stop
from store.records.requests import Evaluate, Measure, Train
from tests.trainers.harness import (
    ROOT,
    SECONDS,
    Daemon,
    assign,
    candidate,
    command,
    endless,
    noop,
    under_way,
)
from tests.trainers.rogue import BLOCK, MANIFEST


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    with Daemon(tmp_path) as daemon:
        yield daemon


@pytest.fixture(scope="module")
def rogue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with Daemon(tmp_path_factory.mktemp("rogue"), module="tests.trainers.rogue") as daemon:
        yield daemon


def misbehave(deed: str) -> Train:
    """A request that makes the rogue trainer commit a deed."""
    of = candidate().model_copy(update={"trainer": Named(name="rogue", options={"deed": deed})})
    return Train(candidate=of, epochs=1)


def test_greets_with_its_protocol_and_versions(daemon: Daemon) -> None:
    assert daemon.hello is not None
    assert daemon.hello.protocol == PROTOCOL
    assert daemon.hello.pid == daemon.process.pid
    assert daemon.hello.device == "cpu"
    assert {"python", "coldframe", "torch", "numpy", "zarr"} <= set(daemon.hello.versions)


def test_does_one_job_after_another_and_leaves_when_told(daemon: Daemon) -> None:
    jobs = [assign(noop(seed)) for seed in range(20)]
    daemon.send(*jobs, Exit())
    finished = [report for report in daemon.reports() if isinstance(report, Finished)]
    assert [report.job for report in finished] == [job.job for job in jobs]
    assert daemon.status() == 0


def test_scripted_jobs_load_neither_torch_nor_zarr(daemon: Daemon) -> None:
    """Guards the start-up time and memory of workers that only play curves; looks at what the process has mapped."""
    assert isinstance(daemon.do(assign()), Finished)
    mapped = Path(f"/proc/{daemon.process.pid}/maps").read_text()
    assert "numpy" in mapped
    assert not re.search(r"libtorch|numcodecs", mapped)


def test_preloading_comes_after_the_greeting_and_is_a_sign_of_life(tmp_path: Path) -> None:
    with Daemon(tmp_path, "--preload", "scripted") as daemon:
        notes = [daemon.receive(Progress) for _ in range(2)]
        assert [report.job for report in notes] == ["", ""]
        assert notes[0].note == "importing the trainer scripted"
        assert notes[1].note == "ready"
        assert isinstance(daemon.do(assign()), Finished)


def test_threads_are_set_before_any_library_starts_its_own(tmp_path: Path) -> None:
    with Daemon(tmp_path, "--threads", "1") as daemon:
        assert isinstance(daemon.do(assign()), Finished)
        assert len(os.listdir(f"/proc/{daemon.process.pid}/task")) == 1


def test_end_of_the_socket_ends_an_idle_worker(daemon: Daemon) -> None:
    daemon.socket.close()
    assert daemon.status() == 0


def test_end_of_the_socket_ends_a_worker_in_the_middle_of_a_job(daemon: Daemon) -> None:
    order = assign(endless())
    daemon.send(order)
    under_way(daemon, order)
    daemon.socket.close()
    assert daemon.status() == 0
    assert "the daemon closed the connection" in daemon.log()


def test_worker_dies_with_its_parent_though_its_socket_stays_open(tmp_path: Path) -> None:
    """The parent is a process between this one and the worker; it is SIGKILLed while we hold the socket open."""
    ours, theirs = socket.socketpair()
    ours.settimeout(SECONDS)
    program = (
        "import os, subprocess, sys\n"
        "arguments = [str(os.getpid()) if a == 'PARENT' else a for a in sys.argv[1:]]\n"
        f"subprocess.Popen(arguments, pass_fds=({theirs.fileno()},)).wait()"
    )
    arguments = ["PARENT" if argument == "0" else argument for argument in command(tmp_path, theirs.fileno(), 0)]
    between = subprocess.Popen([sys.executable, "-c", program, *arguments], pass_fds=(theirs.fileno(),), cwd=ROOT)
    daemon = Daemon.__new__(Daemon)
    daemon.attach(ours, tmp_path)
    worker = os.pidfd_open(daemon.receive(Hello).pid)
    try:
        between.kill()
        between.wait(SECONDS)
        ended, _, _ = select.select([worker], [], [], SECONDS)
        assert ended, "the worker outlived its parent"
    finally:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(worker, signal.SIGKILL)
        os.close(worker)
        theirs.close()
        ours.close()


def test_a_worker_of_another_parent_refuses_to_start(tmp_path: Path) -> None:
    """Guards the race in which the parent dies before the worker has asked to die with it."""
    with Daemon(tmp_path, parent=os.getppid(), hello=False) as daemon:
        assert daemon.status() == 2
        assert f"the parent is process {os.getpid()}, not {os.getppid()}" in daemon.log()


def test_a_descriptor_that_is_no_socket_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        arguments = command(tmp_path, file.fileno(), os.getpid())
        done = subprocess.run(arguments, pass_fds=(file.fileno(),), cwd=ROOT, capture_output=True, timeout=SECONDS)
    assert done.returncode == 2
    assert b"is not a socket" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_that_reach_the_whole_process_group_are_ignored(daemon: Daemon, number: signal.Signals) -> None:
    """A terminal's Ctrl-C and a service manager's SIGTERM must not take the workers from under the daemon.

    Guards candidates that failed, their retries used up, because `kill -- -PGID` ended workers before they had saved.
    """
    order = assign(endless())
    daemon.send(order)
    under_way(daemon, order)
    daemon.process.send_signal(number)
    daemon.send(Stop(job=order.job, attempt=1))
    assert daemon.until_last()[-1].type == "stopped"
    assert isinstance(daemon.do(assign()), Finished)


def test_a_failure_is_reported_though_the_log_cannot_be_written(tmp_path: Path) -> None:
    """Guards a full disk, on which the log lies too, that ended the worker and was charged to the job as a crash."""
    (tmp_path / "worker.log").symlink_to("/dev/full")
    with Daemon(tmp_path) as daemon:
        failed = daemon.do(assign(noop(), faults=(Fault(kind="disk_full"),)))
        assert isinstance(failed, Failed)
        assert failed.reason == "disk_full"
        assert isinstance(daemon.do(assign(noop(1))), Finished), "it goes on to its next job"
        daemon.send(Exit())
        assert daemon.status() == 0


def test_a_hung_worker_can_be_asked_where_it_stands(daemon: Daemon) -> None:
    order = assign(endless())
    daemon.send(order)
    under_way(daemon, order)
    daemon.process.send_signal(signal.SIGUSR1)
    daemon.send(Stop(job=order.job, attempt=1))
    daemon.until_last()
    assert "scripted.py" in daemon.log()


@pytest.mark.parametrize(
    ("sent", "complaint"),
    [
        (struct.pack(">I", 3) + b"\xc1\xc1\xc1", "not a frame of the worker protocol"),
        (struct.pack(">I", 1 << 30), "a frame of 1073741824 bytes, at most"),
        (struct.pack(">I", 1) + b"\x90", "not a frame of the worker protocol"),
        (b"GET / HTTP/1.1\r\n\r\n", "a frame of 1195725856 bytes, at most"),
    ],
    ids=["not msgpack", "too large", "not an order", "another protocol"],
)
@pytest.mark.parametrize("busy", [False, True])
def test_garbage_from_the_daemon_ends_the_worker_with_a_reason(
    daemon: Daemon, sent: bytes, complaint: str, busy: bool
) -> None:
    if busy:
        order = assign(endless())
        daemon.send(order)
        under_way(daemon, order)
    daemon.socket.sendall(sent)
    assert daemon.status() == 76
    assert complaint in daemon.log()


def test_what_a_trainer_prints_does_not_reach_the_protocol(rogue: Daemon) -> None:
    assert isinstance(rogue.do(assign(misbehave("print"))), Finished)
    assert isinstance(rogue.do(assign()), Finished)


def test_a_trainer_that_calls_exit_fails_its_job_and_not_the_worker(rogue: Daemon) -> None:
    failed = rogue.do(assign(misbehave("leave")))
    assert isinstance(failed, Failed)
    assert failed.reason == "error"
    assert "SystemExit" in failed.message


def test_stopping_unasked_is_an_error(rogue: Daemon) -> None:
    failed = rogue.do(assign(misbehave("stop unasked")))
    assert isinstance(failed, Failed)
    assert failed.reason == "error"
    assert "nobody had asked" in failed.message


def test_a_damaged_block_is_reported_with_the_checkpoint_that_was_read(rogue: Daemon) -> None:
    failed = rogue.do(assign(misbehave("damaged block"), resume="c" * 64))
    assert isinstance(failed, Failed)
    assert (failed.reason, failed.checkpoint, failed.blobs) == ("corrupt_checkpoint", "c" * 64, (BLOCK,))


def test_a_missing_manifest_is_reported_by_its_own_name(rogue: Daemon) -> None:
    failed = rogue.do(assign(misbehave("missing manifest"), resume="c" * 64))
    assert isinstance(failed, Failed)
    assert (failed.reason, failed.checkpoint, failed.blobs) == ("corrupt_checkpoint", MANIFEST, ())


def test_an_outcome_that_is_not_finite_is_a_diverged_loss(rogue: Daemon) -> None:
    of = misbehave("print").candidate
    for request in (Evaluate(candidate=of, checkpoint=MANIFEST), Measure(candidate=of)):
        failed = rogue.do(assign(request))
        assert isinstance(failed, Failed)
        assert failed.reason == "diverged"


def test_an_unknown_trainer_is_a_bad_request(daemon: Daemon) -> None:
    of = candidate().model_copy(update={"trainer": Named(name="cel")})
    failed = daemon.do(assign(Train(candidate=of, epochs=1)))
    assert isinstance(failed, Failed)
    assert failed.reason == "bad_request"
    assert failed.message == "trainer.name is 'cel': expected one of cell, scripted, tabular"


def test_an_impossible_option_is_a_bad_request(daemon: Daemon) -> None:
    failed = daemon.do(assign(Train(candidate=candidate(steps=0), epochs=1)))
    assert isinstance(failed, Failed)
    assert failed.reason == "bad_request"
    assert failed.message.startswith("trainer.steps is 0: expected Input should be greater than or equal to 1")
