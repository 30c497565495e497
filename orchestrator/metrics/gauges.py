"""What is read from the daemon when somebody looks: searches, jobs, devices, health."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from orchestrator.lifecycle import TERMINAL, JobState
from orchestrator.metrics.families import KINDS
from orchestrator.metrics.fold import Fold
from orchestrator.metrics.sizes import Sizes
from orchestrator.serving.service import DeviceState, Health, ServedSearch, Service
from orchestrator.views import History

STATUSES = ("preparing", "running", "pausing", "paused", "stopped", "interrupted", "finished", "failed")
HEALTH = ("ok", "full", "read only", "draining", "starting")
OVER = frozenset({"finished", "failed", "stopped"})
SHOWN_SECONDS = 86400.0
MOST_SHOWN = 200
"""Searches whose accuracy and progress are shown: those not over for longer than a day, of them the latest."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the daemon said at one moment, on the event loop, so that it can be put into text elsewhere.

    Attributes:
        names: of the searches that are shown by themselves.
        rate: images per second of all workers together.
        epochs: trained and spared, over the whole journal.
    """

    searches: Sequence[ServedSearch]
    jobs: Mapping[tuple[str, str], int]
    devices: Sequence[DeviceState]
    health: Health
    names: Mapping[str, str]
    best: Mapping[str, float]
    rate: float
    epochs: Mapping[str, float]
    sizes: Sizes


def snapshot(service: Service, fold: Fold, sizes: Sizes) -> Snapshot:
    """Asks the daemon for all of it."""
    searches = service.searches()
    shown = _shown(searches, service.history, time.time())
    return Snapshot(
        searches=searches,
        jobs=service.jobs(),
        devices=service.devices(),
        health=service.health(),
        names=shown,
        best={search: fold.best[search] for search in shown if search in fold.best},
        rate=sum(fold.rates.values()),
        epochs=dict(fold.epochs),
        sizes=sizes,
    )


def _shown(searches: Sequence[ServedSearch], history: History, now: float) -> dict[str, str]:
    recent = []
    for one in searches:
        entry = history.searches.get(one.search)
        if entry is None:
            continue
        last = entry.runs[-1].last if entry.runs else entry.opened
        if one.status not in OVER or now - last < SHOWN_SECONDS:
            recent.append((one.search, entry.name))
    return dict(recent[-MOST_SHOWN:])


class Gauges(Collector):
    """Turns the latest snapshot into metrics.

    Args:
        latest: gives it; None as long as nobody has looked.
    """

    def __init__(self, latest: Callable[[], Snapshot | None]) -> None:
        self._latest = latest

    def describe(self) -> Iterable[Metric]:
        """The metrics without values: the registry checks that no name is taken twice."""
        return [family for family, _ in self._families(None)]

    def collect(self) -> Iterable[Metric]:
        """The metrics as the latest snapshot has them."""
        seen = self._latest()
        for family, values in self._families(seen):
            for labels, value in values:
                if value is not None:
                    family.add_metric(labels, value)
            yield family

    def _families(self, seen: Snapshot | None) -> Iterator[tuple[GaugeMetricFamily, Iterable[_Value]]]:
        for name, about, labels, values in _TABLE:
            family = GaugeMetricFamily(f"coldframe_{name}", about, labels=labels)
            yield family, () if seen is None else values(seen)


_Value = tuple[Sequence[str], float | None]
_Values = Callable[[Snapshot], Iterable[_Value]]


def _searches(seen: Snapshot) -> Iterator[_Value]:
    counts = Counter(one.status for one in seen.searches)
    yield from (((status,), counts[status]) for status in STATUSES)


def _jobs(seen: Snapshot) -> Iterator[_Value]:
    for state in JobState:
        if state not in TERMINAL:
            yield from (((state.value, kind), seen.jobs.get((state.value, kind), 0)) for kind in KINDS)


def _best(seen: Snapshot) -> Iterator[_Value]:
    yield from (((search[:12], seen.names[search]), value) for search, value in seen.best.items())


def _done(seen: Snapshot) -> Iterator[_Value]:
    for one in seen.searches:
        if one.search in seen.names and one.total:
            yield (one.search[:12], seen.names[one.search]), one.done / one.total


def _health(seen: Snapshot) -> Iterator[_Value]:
    yield from (((status,), float(seen.health.status == status)) for status in HEALTH)


def _of_device(read: Callable[[DeviceState], float | None]) -> _Values:
    return lambda seen: (((one.device,), read(one)) for one in seen.devices)


def _stored(seen: Snapshot) -> Iterator[_Value]:
    yield from (((kind,), float(size)) for kind, size in seen.sizes.by_kind.items())


_DEVICE = ("device",)
_SEARCH = ("search", "name")
_TABLE: tuple[tuple[str, str, Sequence[str], _Values], ...] = (
    ("searches", "Searches of the store, by status.", ("status",), _searches),
    ("search_best_accuracy", "Best validation accuracy of a search's networks so far.", _SEARCH, _best),
    ("search_done_ratio", "How far a search's strategy says it is, from 0 to 1.", _SEARCH, _done),
    (
        "store_epochs",
        "Epochs trained and spared, as in coldframe_epochs_total, over the whole journal.",
        ("how",),
        lambda seen: (((how,), epochs) for how, epochs in seen.epochs.items()),
    ),
    ("jobs", "Jobs that have not ended, by state.", ("state", "kind"), _jobs),
    ("images_per_second", "Training images of all workers together.", (), lambda seen: [((), seen.rate)]),
    ("health", "1 for what the daemon says of itself.", ("status",), _health),
    ("journal_sequence", "Number of the journal's last row.", (), lambda seen: [((), seen.health.sequence)]),
    (
        "device_in_service",
        "1 if jobs are placed on the device.",
        _DEVICE,
        _of_device(lambda one: float(one.state == "in service")),
    ),
    ("device_slots", "Worker processes that the device has.", _DEVICE, _of_device(lambda one: one.slots)),
    ("device_busy_slots", "Worker processes with a job.", _DEVICE, _of_device(lambda one: one.busy)),
    (
        "device_idle_ratio",
        "Share of the daemon's time in which the device had no job.",
        _DEVICE,
        _of_device(lambda one: one.idle_share),
    ),
    ("device_memory_bytes", "The device's memory.", _DEVICE, _of_device(lambda one: one.memory_bytes)),
    ("device_memory_used_bytes", "Of it in use, by anybody.", _DEVICE, _of_device(lambda one: one.memory_used_bytes)),
    (
        "device_utilisation_ratio",
        "Share of time in which the device computed, as its driver says.",
        _DEVICE,
        _of_device(lambda one: one.utilisation),
    ),
    ("device_temperature_celsius", "The device's temperature.", _DEVICE, _of_device(lambda one: one.temperature)),
    ("device_power_watts", "What the device draws.", _DEVICE, _of_device(lambda one: one.power_watts)),
    (
        "device_faults",
        "Faults lately, as counted towards leaving service.",
        _DEVICE,
        _of_device(lambda one: one.faults),
    ),
    ("store_bytes", "Disk space that the store takes, by what for.", ("kind",), _stored),
    (
        "store_dedupe_ratio",
        "Bytes that checkpoints name, each time that they do, by the bytes of all blocks on the disk.",
        (),
        lambda seen: [((), seen.sizes.dedupe_ratio)],
    ),
    ("store_checkpoints", "Manifests in the store.", (), lambda seen: [((), seen.sizes.manifests)]),
    (
        "store_measured_timestamp_seconds",
        "Unix time of the last measurement.",
        (),
        lambda seen: [((), seen.sizes.measured)],
    ),
    ("disk_free_bytes", "Free space on the store's disk.", (), lambda seen: [((), seen.sizes.disk_free)]),
    ("disk_bytes", "The store's disk.", (), lambda seen: [((), seen.sizes.disk_total)]),
)
