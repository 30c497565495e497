"""The live table and the plain lines."""

from __future__ import annotations

import io
import os
import pty
from collections.abc import Iterator
from contextlib import suppress

import pytest
from rich.console import Console

from orchestrator.live import Live, observer
from orchestrator.observer import Observer, Silent
from orchestrator.plain import PROGRESS_SECONDS, Plain
from orchestrator.stream import silence
from orchestrator.watch import Watch
from store.records.events import SearchOpened, SearchStarted
from store.records.messages import Progress
from store.records.spec import Reference
from tests.orchestrator.telling import Teller, accuracy, candidate, small_search, spec


class Clock:
    """A monotonic clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


def play(teller: Teller, watcher: Observer | Watch, *, recalled: int = 0) -> None:
    for sequence, (time, event) in enumerate(teller.events, start=1):
        if sequence <= recalled:
            watcher.recalled(sequence, time, event.type, event.model_dump())
        else:
            watcher.event(sequence, time, event)


def running() -> Teller:
    teller = Teller()
    teller.open("cells")
    teller.train(1, 2)
    teller.train(2, 2, worker="worker-2")
    job = teller.ask(1, 4)
    teller.start(job, epoch=2, seed=1)
    return teller


def beat(teller: Teller, epoch: int, step: int = 0, attempt: int = 1, seed: int = 1) -> Progress:
    job = next(job for job in teller.history.jobs.values() if job.state == "running")
    return Progress(job=job.id, attempt=attempt, epoch=epoch, step=step, steps=10, images_per_second=1234.5)


@pytest.fixture
def terminal() -> Iterator[io.TextIOWrapper]:
    leader, follower = pty.openpty()
    with os.fdopen(follower, "w") as stream, os.fdopen(leader, "rb"):
        yield stream


def shown(watch: Watch) -> str:
    """The live table as text, without a terminal."""
    stream = io.StringIO()
    live = Live(stream, watch)
    live.close()
    console = Console(file=io.StringIO(), width=120)
    console.print(live.render())
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_a_terminal_gets_the_table_and_everything_else_gets_lines(terminal: io.TextIOWrapper) -> None:
    live = observer(terminal)
    assert isinstance(live, Live)
    live.close()
    assert isinstance(observer(io.StringIO()), Plain)


def test_the_table_shows_who_does_what_the_best_and_how_far_it_is() -> None:
    clock = Clock()
    watch, teller = Watch(clock), running()
    watch.strategy("s", 0, 560, "initial population")
    play(teller, watch)
    watch.progress("worker-1", beat(teller, 3).job, beat(teller, 3, 5))
    clock.now += 30
    watch.strategy("s", 140, 560, "cycle 3 of 10")
    text = shown(watch)
    assert "cells (555555555555)" in text
    assert "cycle 3 of 10" in text
    assert "25%" in text
    assert "about 1 min 30 s to go" in text
    assert f"best so far: {100 * accuracy(2, 2):.2f} % at 2 epochs: candidate {candidate(2).id[:8]}" in text
    assert f"train {candidate(1).id[:8]} to 4" in text
    assert "3 of 4" in text
    assert "1,234" in text
    assert "3 requests: 0 answered from the store, 3 jobs (1 running, 2 succeeded)" in text
    assert "epochs: 4 trained, 2 resumed over, 0 from the store" in text


def test_the_table_says_why_it_waits_and_what_failed() -> None:
    watch = Watch(Clock())
    play(small_search(), watch)
    watch.waiting("3 trainings to finish cycle 2")
    text = shown(watch)
    assert "waiting: 3 trainings to finish cycle 2" in text
    assert "attempt 1 failed: diverged: loss is not finite at epoch 1, step 3" in text
    watch.waiting(None)
    assert "waiting" not in shown(watch)
    watch.told("strategy.transfer.pool.0: first has put no blocks into the knowledge pool")
    assert "first has put no blocks into the knowledge pool" in shown(watch)


def test_before_anything_has_happened_there_is_a_table_too() -> None:
    text = shown(Watch(Clock()))
    assert "starting" in text
    assert "none yet" in text


def test_a_heartbeat_of_an_older_attempt_is_not_shown() -> None:
    watch, teller = Watch(Clock()), running()
    play(teller, watch)
    watch.progress("worker-1", beat(teller, 3).job, beat(teller, 3, attempt=9))
    assert [doing.epoch for doing in watch.workers()] == [2.0]
    watch.progress("worker-1", beat(teller, 3).job, beat(teller, 3, step=5))
    assert [doing.epoch for doing in watch.workers()] == [3.5]


def test_a_worker_without_a_job_says_what_it_is_getting_ready_for() -> None:
    watch, teller = Watch(Clock()), running()
    play(teller, watch)
    watch.progress("worker-2", "", Progress(job="", attempt=0, note="importing the trainer cell"))
    assert watch.getting_ready() == {"worker-2": "importing the trainer cell"}
    assert "importing the trainer cell" in shown(watch)


def decoding(teller: Teller, done: int) -> Progress:
    note = f"decoding images: {done:,} of 50,000"
    return beat(teller, 0).model_copy(update={"step": done, "steps": 50000, "note": note, "images_per_second": None})


def test_a_worker_that_prepares_its_data_says_how_far_that_is() -> None:
    teller, watch = running(), Watch()
    play(teller, watch)
    watch.progress("worker-1", "", decoding(teller, 12000))
    assert "decoding images: 12,000 of 50,000" in shown(watch)
    watch.progress("worker-1", "", beat(teller, 2, step=5))
    assert "decoding" not in shown(watch)
    clock, stream = Clock(), io.StringIO()
    plain = Plain(stream, Watch(clock))
    for done in (100, 200, 300):
        plain.progress("worker-1", "", decoding(teller, done))
        clock.now += 0.6 * PROGRESS_SECONDS
    assert [line.split("  ")[1] for line in stream.getvalue().splitlines()] == [
        "worker-1: decoding images: 100 of 50,000",
        "worker-1: decoding images: 300 of 50,000",
    ]


def test_of_a_worker_that_was_handed_a_second_job_the_first_is_shown() -> None:
    watch, teller = Watch(Clock()), running()
    teller.start(teller.ask(7, 2))
    play(teller, watch)
    assert [doing.job.epochs for doing in watch.workers()] == [4]


def test_what_was_recalled_counts_for_the_best_but_not_for_the_pace() -> None:
    clock = Clock()
    watch, teller = Watch(clock), running()
    teller.restart(pid=101, after=60.0)
    play(teller, watch, recalled=len(teller.events) - 1)
    watch.strategy("s", 400, 500, "cycle 9 of 10")
    assert watch.best is not None
    assert watch.best["accuracy"] == accuracy(2, 2)
    assert watch.remaining() is None, "nothing has been trained by this process yet"
    teller.start(next(job.id for job in teller.history.jobs.values() if job.state == "queued"), epoch=2, seed=1)
    watch.event(99, teller.now, teller.events[-1][1])
    clock.now += 10
    watch.strategy("s", 420, 500, "cycle 9 of 10")
    assert watch.remaining() == pytest.approx(40.0)


def lines(plain_stream: io.StringIO) -> list[str]:
    return [line.split("  ", 1)[1] for line in plain_stream.getvalue().splitlines()]


def test_plain_lines_say_what_happened_with_success_at_most_once_a_second() -> None:
    stream, clock = io.StringIO(), Clock()
    plain = Plain(stream, Watch(clock))
    play(small_search(), plain)
    plain.close()
    told = lines(stream)
    assert told[0] == "search digits <&> cells (555555555555) started"
    assert told[1] == f"train {candidate(1).id[:8]} to 2: {100 * accuracy(1, 2):.2f} %"
    assert told[2] == "and 1 other job done", "held back, but told before what comes next"
    assert (
        told[3]
        == f"train {candidate(3).id[:8]} to 2: attempt 1 failed: crashed: worker-1 ended: killed by signal 9 <SIGKILL>"
    )
    assert told[4] == "and 1 other job done"
    assert "given up: diverged" in told[6]
    assert told[7].startswith("search digits <&> cells (555555555555) started, run 2; 5 requests on record")
    assert told[-1] == "and 1 other job done"


def test_a_training_without_validation_says_its_training_accuracy_and_is_no_best() -> None:
    watch, teller = Watch(Clock()), Teller(held_out=0.0)
    teller.open()
    teller.train(1, 2)
    teller.test(1, 2)
    play(teller, watch)
    name = teller.candidate(1).id[:8]
    assert [line for _, line, _ in watch.lines] == [
        f"train {name} to 2: {100 * accuracy(1, 2):.2f} % of the training images",
        f"evaluate {name} on the test images: {100 * accuracy(1, 2) - 1:.2f} %",
    ]
    assert watch.best is None
    assert "none yet" in shown(watch)


def test_of_a_proxy_study_no_candidate_is_the_best_as_they_are_trained_in_many_settings() -> None:
    watch, teller = Watch(Clock()), Teller()
    studied = spec("study").model_copy(update={"reference": Reference(epochs=8)})
    teller.tell(SearchOpened(search=teller.search, spec=studied), SearchStarted(search=teller.search, pid=1))
    teller.train(1, 2)
    play(teller, watch)
    assert watch.best is None
    assert "best so far" not in shown(watch)


def test_plain_progress_comes_now_and_then_and_a_reason_once() -> None:
    stream, clock = io.StringIO(), Clock()
    plain = Plain(stream, Watch(clock))
    for done in range(100):
        plain.strategy("s", done, 200, "cycle 1 of 2")
        clock.now += PROGRESS_SECONDS / 10
    assert len(lines(stream)) == 10
    assert lines(stream)[-1] == "cycle 1 of 2: 45%"
    for _ in range(3):
        plain.waiting("disk full: waiting for space")
    plain.waiting(None)
    plain.waiting("disk full: waiting for space")
    assert lines(stream).count("waiting: disk full: waiting for space") == 2
    plain.told("strategy.transfer.pool.0: first has put no blocks into the knowledge pool")
    assert lines(stream)[-1] == "strategy.transfer.pool.0: first has put no blocks into the knowledge pool"


def test_a_search_goes_on_when_nobody_reads_its_lines_any_more() -> None:
    """Guards `coldframe run SPEC | head`: a broken pipe must not end the search."""
    reader, writer = os.pipe()
    os.close(reader)
    watch = Watch(Clock())
    with os.fdopen(writer, "w", buffering=1) as stream:
        plain = Plain(stream, watch)
        play(small_search(), plain)
        plain.close()
    assert watch.best is not None
    assert watch.best["epochs"] == 4


@pytest.mark.parametrize("kind", [Plain, Live])
def test_a_search_goes_on_when_its_lines_cannot_be_written(kind: type[Plain] | type[Live]) -> None:
    """Guards `coldframe run SPEC > log` on a full disk, which ended the search."""
    watch = Watch(Clock())
    stream = open("/dev/full", "w", buffering=1)
    view = kind(stream, watch)
    play(small_search(), view)
    view.close()
    assert watch.best is not None
    assert watch.best["epochs"] == 4
    with pytest.raises(OSError, match="No space left"):
        stream.write("the stream is as full as the test says\n")
    silence(stream)
    stream.close()


@pytest.mark.parametrize("kind", [Plain, Live])
def test_what_the_encoding_lacks_is_written_as_an_escape(kind: type[Plain] | type[Live]) -> None:
    """Guards a search called `é` under PYTHONIOENCODING=ascii, which ended with a UnicodeEncodeError."""
    buffer, teller = io.BytesIO(), Teller()
    teller.open("é")
    view = kind(io.TextIOWrapper(buffer, encoding="ascii"), Watch(Clock()))
    play(teller, view)
    view.close()
    assert b"\\xe9 (555555555555)" in buffer.getvalue()


def test_the_cursor_is_shown_again_and_closing_twice_does_no_more() -> None:
    """A second Ctrl-C closes the view and ends the process at once; the command closes it too."""
    leader, follower = pty.openpty()
    with os.fdopen(follower, "w") as stream:
        live = Live(stream)
        assert b"\x1b[?25l" in os.read(leader, 1 << 16), "hidden while the table is drawn"
        live.close()
        live.close()
    shown = b""
    with suppress(OSError):  # the other end is closed: all was read
        while data := os.read(leader, 1 << 16):
            shown += data
    os.close(leader)
    assert shown.count(b"\x1b[?25h") == 1


def test_a_process_without_stdout_is_watched_by_nobody() -> None:
    """Guards `coldframe run SPEC >&-`: Python has no sys.stdout then."""
    assert isinstance(observer(None), Silent)


def test_the_silent_observer_takes_everything() -> None:
    silent: Observer = Silent()
    play(small_search(), silent, recalled=3)
    silent.strategy("s", 1, 2, "half")
    silent.waiting("nothing")
    silent.told("nothing")
    silent.close()
    assert vars(silent) == {}
