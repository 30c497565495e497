"""Opening a store: made whole or not at all, and refused with a reason."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from store import format as store_format
from store.check import check
from store.errors import NotAStore, StoreLocked, StoreReadOnly, UnsupportedFormat
from store.format import CURRENT
from store.gc import collect
from store.opening import Store
from tests.store.builders import ROOT, child, delivered, equal, finish, new_store, save, saved, state


def test_a_store_is_made_written_closed_and_opened_again(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "store"
    with new_store(folder) as store:
        digest = save(store.checkpoints)
        store.journal.append([saved(digest)])
    with Store.open(folder, write=False) as store:
        assert store.folder == folder
        assert store.journal.count == 1
        assert equal(store.checkpoints.load(digest).tensors, state(1))
    with Store.open(folder, write=True) as store:
        assert store.journal.append([delivered(0)]) == 2


def test_an_empty_folder_may_become_a_store(tmp_path: Path) -> None:
    new_store(tmp_path).close()
    assert check(tmp_path).clean


@pytest.mark.parametrize("write", [True, False])
def test_what_is_not_a_store_is_refused(tmp_path: Path, write: bool) -> None:
    with pytest.raises(NotAStore, match="no such folder"):
        Store.open(tmp_path / "nothing", write=write)
    with pytest.raises(NotAStore, match="no file `format`"):
        Store.open(tmp_path, write=write)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_other_things_never_becomes_a_store(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(NotAStore, match=r"thesis\.tex"):
        new_store(tmp_path)
    for write in (True, False):
        with pytest.raises(NotAStore, match="it is a file, not a folder"):
            Store.open(tmp_path / "thesis.tex", write=write, create=write)
    with pytest.raises(NotAStore, match=r"thesis\.tex is a file, not a folder") as error:
        new_store(tmp_path / "thesis.tex" / "deep" / "store")
    assert error.value.exit_code == 2
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_two_processes_that_make_the_same_store_both_find_it_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards the second, which had seen no store and then found the first one's files: "it holds other things"."""
    new_store(tmp_path).close()
    answers = iter([False])
    is_store = store_format.is_store
    monkeypatch.setattr(store_format, "is_store", lambda folder: next(answers, None) is not False and is_store(folder))
    store_format.ensure(tmp_path)
    assert next(answers, "asked") == "asked"
    Store.open(tmp_path, write=True).close()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "3", '{"version": 1}', '"x"', '{"coldframe_store": 1}', '{"coldframe_store": null}']
)
def test_a_format_file_that_is_not_ours_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "format").write_text(text)
    with pytest.raises((NotAStore, UnsupportedFormat)):
        Store.open(tmp_path, write=True, create=True)


def forge(folder: Path, **changes: object) -> None:
    new_store(folder).close()
    (folder / "format").write_text(json.dumps(CURRENT.model_dump(mode="json") | changes))


def test_a_newer_store_is_refused(tmp_path: Path) -> None:
    forge(tmp_path, coldframe_store=2)
    for use in (lambda: Store.open(tmp_path, write=False), lambda: check(tmp_path), lambda: collect(tmp_path)):
        with pytest.raises(UnsupportedFormat, match=r"says version 2, .* knows version 1\. Use the coldframe"):
            use()


def test_an_unknown_feature_stops_only_the_operation_that_needs_it(tmp_path: Path) -> None:
    forge(tmp_path, features={"read": ["zarr-packs"], "write": ["holograms"]}, added_by_a_newer_version=True)
    Store.open(tmp_path, write=False).close()
    with pytest.raises(UnsupportedFormat, match="write needs holograms"):
        Store.open(tmp_path, write=True)


def test_a_store_whose_making_was_killed_is_completed(tmp_path: Path) -> None:
    """Every moment of the making leaves a part of these files; the next opening adds the rest."""
    whole = tmp_path / "whole"
    new_store(whole).close()
    order = ["tmp", "format", "lock", "journal.sqlite", "journal.head", "blobs", "manifests"]
    assert sorted(order) == sorted(path.name for path in whole.iterdir())
    for length in range(len(order) + 1):
        part = tmp_path / f"part-{length}"
        part.mkdir()
        for name in order[:length]:
            copy = shutil.copytree if (whole / name).is_dir() else shutil.copy
            copy(whole / name, part / name)
        (part / "tmp").mkdir(exist_ok=True)
        (part / "tmp" / "1-draft").write_bytes(b"half a file")
        with new_store(part) as store:
            assert store.journal.append([delivered(0)]) == 1
        assert check(part).clean


@pytest.mark.system
def test_a_kill_at_any_moment_of_the_making_leaves_what_the_next_opening_completes(tmp_path: Path) -> None:
    for call in ("fsync", "rename", "mkdir", "fdatasync"):
        for number in range(1, 6):
            folder = tmp_path / f"{call}-{number}"
            inject = f"inject={call}:signal=SIGKILL:when={number}"
            strace = ("strace", "-f", "-qq", "-e", f"trace={call}", "-e", inject)
            killed = child("open_for_writing", folder, under=strace)
            killed.communicate(timeout=60)
            new_store(folder).close()
            assert check(folder).clean


def test_only_one_writer_at_a_time(tmp_path: Path) -> None:
    with new_store(tmp_path):
        with pytest.raises(StoreLocked, match=str(os.getpid())):
            Store.open(tmp_path, write=True)
        Store.open(tmp_path, write=False).close()
    Store.open(tmp_path, write=True).close()


def test_a_refused_opening_lets_the_lock_go(tmp_path: Path) -> None:
    with new_store(tmp_path) as store:
        store.journal.append([delivered(0)])
    head = (tmp_path / "journal.head").read_bytes()
    (tmp_path / "journal.head").write_bytes(b"")
    with pytest.raises(Exception, match="no slot of it is sound"):
        Store.open(tmp_path, write=True)
    (tmp_path / "journal.head").write_bytes(head)
    Store.open(tmp_path, write=True).close()


def test_where_nothing_can_be_written_a_store_can_be_read_but_not_opened_for_writing(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    with new_store(folder) as store:
        store.journal.append([saved(save(store.checkpoints))])
    read, write, make = on_read_only(folder, "open_for_reading", "open_for_writing", "make")
    assert read == "1 1 1"
    assert write.startswith("StoreReadOnly cannot write to")
    assert "copy the store" in write
    assert make.startswith("StoreReadOnly")


def test_a_journal_that_was_not_closed_says_so_where_nothing_can_be_written(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    new_store(folder).close()
    killed = child("append", folder)
    assert killed.stdout is not None
    killed.stdout.readline()
    killed.send_signal(signal.SIGKILL)
    killed.communicate(timeout=30)
    (read,) = on_read_only(folder, "open_for_reading")
    assert read.startswith("StoreReadOnly")
    assert "was not closed" in read
    assert int(finish(child("open_for_reading", folder))[0].split()[0]) >= 1


def on_read_only(folder: Path, *uses: str) -> list[str]:
    """Runs children where the store's folder is mounted read-only, in a user namespace of their own."""
    mount = f'mount --bind {folder} {folder} && mount -o remount,bind,ro {folder} && exec "$@"'
    under = ("unshare", "-Urm", "sh", "-c", mount, "sh")
    if shutil.which("unshare") is None or subprocess.run([*under, "true"], check=False, cwd=ROOT).returncode:
        pytest.skip("needs user namespaces that may mount (unshare -Urm)")
    lines = []
    for use in uses:
        name, where = ("open_for_writing", folder / "new") if use == "make" else (use, folder)
        lines.append(finish(child(name, where, under=under))[0])
    return lines


def test_a_folder_without_permission_is_refused(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere; the read-only mount tests it")
    new_store(tmp_path / "store").close()
    (tmp_path / "store").chmod(0o500)
    with pytest.raises(StoreReadOnly):
        Store.open(tmp_path / "store", write=True)


def test_an_old_draft_is_swept_at_opening(tmp_path: Path) -> None:
    new_store(tmp_path).close()
    for draft in (tmp_path / "tmp" / "99999999-old", tmp_path / "blobs" / "tmp" / "99999999-old"):
        draft.write_bytes(b"half a file")
        os.utime(draft, (1, 1))
    Store.open(tmp_path, write=True).close()
    assert not list((tmp_path / "tmp").iterdir())
    assert not list((tmp_path / "blobs" / "tmp").iterdir())


def test_features_are_named_for_every_operation() -> None:
    assert set(CURRENT.features) == {"read", "write", "check", "gc"}
    always = {feature for needed in CURRENT.features.values() for feature in needed}
    assert store_format.FEATURES == always | {store_format.POOL}
