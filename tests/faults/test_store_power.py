"""Power loss at any moment: what was acknowledged is there, and the store opens.

And with any one of the steps left out that this rests on, these very tests find a loss.
"""

from __future__ import annotations

import random
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from store.errors import StoreError
from store.journal import Journal
from store.opening import Store
from tests.faults.store_recording import POLICIES, Disk, Operation, Policy, record
from tests.store.builders import delivered

ROOT = Path(__file__).resolve().parents[2]
SHARES = 4
FEW, MANY = 250, 2500
"""Images in the sample, and in each share of the long series."""
pytestmark = [pytest.mark.system, pytest.mark.timeout(1800)]
Inspect = Callable[[Path, list[str]], None]


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder in memory, where there is one: thousands of images need no disk."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as folder:
        yield Path(folder)


def recorded(tmp_path: Path, what: str, *mutations: str) -> list[Operation]:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    folder = tmp_path / "recorded"
    folder.mkdir()
    command = [sys.executable, "-m", "tests.faults.store_children", what, str(folder), *mutations]
    return record(command, folder.resolve(), tmp_path / "trace", ROOT)


def losses(
    operations: list[Operation],
    images: int,
    seed: int,
    memory: Path,
    inspect: Inspect,
    policies: Sequence[Policy] = POLICIES,
) -> list[str]:
    """Makes so many images, spread over all moments, and returns what was wrong with them."""
    draw = random.Random(seed)
    moments = sorted(draw.choices(range(len(operations)), k=images))
    disk, said, done, found = Disk(), list[str](), 0, list[str]()
    for number, moment in enumerate(moments):
        for operation in operations[done : moment + 1]:
            if operation.call == "said":
                said += operation.data.decode().split()
            else:
                disk.apply(operation)
        done = max(done, moment + 1)
        policy = policies[number % len(policies)]
        disk.image(memory / str(number), policy, draw)
        try:
            inspect(memory / str(number), said)
        except (StoreError, AssertionError) as error:
            found.append(
                f"after operation {moment} ({operations[moment].call} {operations[moment].path}), {policy}: {error}"
            )
        shutil.rmtree(memory / str(number))
    return found


def journal_is_whole(folder: Path, said: list[str]) -> None:
    """Every acknowledged row is there, in its place, and the journal can be written on."""
    acknowledged = int(said[-1]) if said else 0
    journal = Journal(folder)
    try:
        assert journal.count >= acknowledged, f"{journal.count} of {acknowledged} acknowledged rows"
        assert [row.sequence for row in journal.rows()] == list(range(1, journal.count + 1))
        assert journal.append([delivered(0)]) == journal.count
    finally:
        journal.close()


def store_is_whole(folder: Path, said: list[str]) -> None:
    """Every acknowledged checkpoint has its row, and what any row names can be loaded, bit for bit."""
    with Store.open(folder, write=True, create=True) as store:
        named = [row.event.checkpoint for row in store.journal.rows()]  # type: ignore[union-attr]
        assert set(said) <= set(named), f"{len(named)} of {len(said)} acknowledged checkpoints"
        for digest in named:
            store.checkpoints.load(digest)


INSPECTIONS: dict[str, Inspect] = {"rows": journal_is_whole, "stored": store_is_whole}


@pytest.mark.parametrize("what", INSPECTIONS)
def test_a_power_loss_takes_nothing_that_was_acknowledged(tmp_path: Path, memory: Path, what: str) -> None:
    operations = recorded(tmp_path, what)
    assert len(operations) > 100
    assert losses(operations, FEW, 1, memory, INSPECTIONS[what]) == []


@pytest.mark.faults
@pytest.mark.parametrize("share", range(SHARES))
@pytest.mark.parametrize("what", INSPECTIONS)
def test_thousands_of_power_losses_take_nothing_that_was_acknowledged(
    tmp_path: Path, memory: Path, what: str, share: int
) -> None:
    operations = recorded(tmp_path, what)
    assert losses(operations, MANY, 100 + share, memory, INSPECTIONS[what]) == []


@pytest.mark.parametrize(
    ("what", "mutation", "policies"),
    [
        ("rows", "normal", POLICIES),
        ("rows", "no_sync", POLICIES),
        ("rows", "no_sync_of_head", ("torn",)),  # a head in two slots is lost only if both hold anything
        ("stored", "no_sync_of_files", POLICIES),
        ("stored", "no_sync_of_blocks", POLICIES),
        ("stored", "no_sync_of_folders", POLICIES),
        ("stored", "renamed_first", POLICIES),
        ("stored", "blocks_last", POLICIES),
    ],
)
def test_without_any_one_of_the_steps_a_power_loss_is_found_to_take_something(
    tmp_path: Path, memory: Path, what: str, mutation: str, policies: Sequence[Policy]
) -> None:
    """Else the tests above would show nothing. More than one, so that it is no matter of luck."""
    assert len(losses(recorded(tmp_path, what, mutation), FEW, 1, memory, INSPECTIONS[what], policies)) > 1
