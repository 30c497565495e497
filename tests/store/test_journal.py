"""The journal: what goes in comes out, in order, and only once it is durable."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store.errors import JournalClosed, JournalFailed, NotCanonical
from store.journal import Journal
from store.journal_head import read_head
from store.journal_table import Entry
from store.records.events import EVENT, AnyEvent, AttemptFailed, SearchFinished, StateSaved, WorkerStarted
from tests.store.builders import child, delivered, finish, requested, saved, succeeded

names = st.text(st.characters(codec="utf-8"), max_size=20)
numbers = st.integers(0, 2**63 - 1)
plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | names,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)
events = st.one_of(
    st.builds(WorkerStarted, worker=names, pid=numbers, device=names),
    st.builds(AttemptFailed, job=names, attempt=numbers, message=names, counted=st.booleans()),
    st.builds(StateSaved, search=names, requests=numbers, calls=numbers, state=st.binary(max_size=99), rng=names),
    st.builds(SearchFinished, search=names, result=st.dictionaries(names, plain, max_size=3)),
)


def contents(journal: Journal) -> list[AnyEvent]:
    return [row.event for row in journal.rows()]


def test_events_come_back_in_order_after_reopening(tmp_path: Path) -> None:
    written: list[AnyEvent] = [delivered(0), requested(1), saved("c" * 64), succeeded("c" * 64)]
    journal = Journal(tmp_path)
    assert journal.append(written[:1]) == 1
    assert journal.append(written[1:]) == 4
    journal.close()
    again = Journal(tmp_path)
    assert again.count == 4
    assert contents(again) == written
    again.close()


def test_what_is_told_while_a_journal_is_opened_is_what_it_holds(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append([delivered(0), requested(1), saved("c" * 64)])
    journal.close()
    told = list[tuple[int, Entry]]()
    again = Journal(tmp_path, told=lambda *row: told.append(row))
    assert [(sequence, *entry) for sequence, entry in told] == list(again.raw())
    again.close()


@settings(max_examples=20, deadline=None)
@given(groups=st.lists(st.lists(events, max_size=4), max_size=4))
def test_any_event_comes_back_equal(tmp_path_factory: pytest.TempPathFactory, groups: list[list[AnyEvent]]) -> None:
    folder = tmp_path_factory.mktemp("journal")
    journal = Journal(folder)
    for group in groups:
        journal.append(group)
    journal.close()
    reading = Journal(folder, read_only=True)
    assert contents(reading) == [event for group in groups for event in group]
    assert [row.type for row in reading.raw()] == [event.type for group in groups for event in group]


def test_the_same_event_has_the_same_bytes(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append([requested(1)])
    journal.append([EVENT.validate_python(requested(1).model_dump())])
    first, second = (row.payload for row in journal.raw())
    assert first == second
    journal.close()


def test_rows_can_be_chosen_by_number_type_search_and_job(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append([delivered(index, search="ab"[index % 2] * 64, job=str(index % 3)) for index in range(12)])
    journal.append([saved("c" * 64)])
    assert [row.sequence for row in journal.rows(after=10)] == [11, 12, 13]
    assert [row.sequence for row in journal.rows(types=["checkpoint_saved"])] == [13]
    assert [row.event.index for row in journal.rows(search="b" * 64, job="1")] == [1, 7]  # type: ignore[union-attr]
    assert list(journal.rows(types=[])) == []
    journal.close()


def test_a_long_journal_is_read_whole(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append([delivered(index) for index in range(2500)])
    assert [row.event.index for row in journal.rows()] == list(range(2500))  # type: ignore[union-attr]
    journal.close()


def test_events_of_many_threads_are_all_kept_and_each_group_stays_together(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    ends: dict[int, list[int]] = {}

    def write(thread: int) -> None:
        ends[thread] = [
            journal.append([delivered(index, job=str(thread)) for index in (step, step)]) for step in range(30)
        ]

    threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert journal.count == 6 * 60
    for number in range(6):
        rows = list(journal.rows(job=str(number)))
        assert [row.sequence for row in rows[1::2]] == ends[number] == [row.sequence + 1 for row in rows[::2]]
    journal.close()


def test_a_future_resolves_only_when_the_head_is_durable(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    for _ in range(20):
        number = journal.submit([delivered(0), delivered(1)]).result()
        head = read_head(tmp_path)
        assert head is not None
        assert head.rows >= number
    journal.close()


def test_reading_works_beside_a_writer_and_sees_what_comes_later(tmp_path: Path) -> None:
    writer = Journal(tmp_path)
    writer.append([delivered(0)])
    reader = Journal(tmp_path, read_only=True)
    assert reader.count == 1
    writer.append([delivered(1)])
    assert [row.sequence for row in reader.rows(after=1)] == [2]
    assert finish(child("open_for_reading", tmp_path))[0].startswith("NotAStore")
    writer.close()


def test_a_journal_that_was_never_written_reads_as_empty(tmp_path: Path) -> None:
    reader = Journal(tmp_path, read_only=True)
    assert (reader.count, list(reader.rows())) == (0, [])
    assert list(tmp_path.iterdir()) == []


def test_a_journal_opened_for_reading_takes_no_events(tmp_path: Path) -> None:
    with pytest.raises(JournalClosed, match="opened for reading"):
        Journal(tmp_path, read_only=True).append([delivered(0)])


def test_a_closed_journal_takes_no_events_and_can_be_closed_again(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    waiting = journal.submit([delivered(0)])
    journal.close()
    journal.close()
    assert waiting.result() == 1
    with pytest.raises(JournalClosed, match="closed"):
        journal.append([delivered(1)])


def test_an_event_that_msgpack_does_not_carry_is_refused_at_once(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    with pytest.raises(NotCanonical):
        journal.submit([SearchFinished(search="a", result={"x": 2**70})])
    assert journal.append([delivered(0)]) == 1
    journal.close()


def test_nothing_submitted_is_nothing_written(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    assert journal.append([]) == 0
    assert journal.count == 0
    journal.close()


def test_a_failed_fsync_is_fatal_and_is_not_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path)
    journal.append([delivered(0)])
    calls = []

    def fail(handle: int) -> None:
        calls.append(handle)
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", fail)
    with pytest.raises(JournalFailed, match="Input/output error") as failure:
        journal.append([delivered(1)])
    assert failure.value.exit_code == 74
    monkeypatch.undo()
    with pytest.raises(JournalFailed):
        journal.append([delivered(2)])
    assert len(calls) == 1
    journal.close()
    again = Journal(tmp_path)
    assert 1 <= again.count <= 2, "what was acknowledged is kept; the row in doubt may be there or not"
    again.close()


def test_whatever_goes_wrong_in_the_writer_those_who_wait_hear_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path)

    def fail(*arguments: object) -> None:
        raise MemoryError("no memory")

    monkeypatch.setattr("store.journal_writer.insert", fail)
    with pytest.raises(JournalFailed, match="no memory"):
        journal.append([delivered(0)])
    journal.close()
