"""A daemon that is told what to say, and the metrics that watch it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from prometheus_client import Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from orchestrator.metrics import Metrics
from orchestrator.metrics.gauges import snapshot
from orchestrator.metrics.sizes import Sizes
from orchestrator.observer import Several, Silent
from orchestrator.serving.service import DeviceState, Health, ServedSearch, Service
from orchestrator.views import History
from store.opening import Store
from store.records.events import AnyEvent

GPU = DeviceState(
    device="cuda:0",
    kind="cuda",
    model="a GPU",
    slots=2,
    busy=1,
    memory_bytes=80 << 30,
    memory_used_bytes=10 << 30,
    utilisation=0.5,
    temperature=61.0,
    power_watts=250.0,
    faults=1,
    idle_share=0.25,
)


@dataclass
class Told:
    """What the metrics ask of the daemon; the rest of `Service` nobody here asks for."""

    history: History = field(default_factory=History)
    store: Store | None = None
    asked: list[ServedSearch] = field(default_factory=list)
    under_way: dict[tuple[str, str], int] = field(default_factory=dict)

    def searches(self) -> Sequence[ServedSearch]:
        return self.asked

    def jobs(self) -> Mapping[tuple[str, str], int]:
        return self.under_way

    def devices(self) -> Sequence[DeviceState]:
        return [GPU, DeviceState(device="cpu", kind="cpu", model="a CPU", state="out of service", why="an order")]

    def health(self) -> Health:
        return Health("ok", "", 12.0, self.history.sequence)


class Keeping(Silent):
    """Folds what happens into a history, as the daemon's first observer does."""

    def __init__(self, history: History) -> None:
        self._history = history

    def event(self, sequence: int, time: float, event: AnyEvent) -> None:
        self._history.event(sequence, time, event)

    def recalled(self, sequence: int, time: float, kind: str, payload: Mapping[str, object]) -> None:
        self._history.apply(sequence, time, kind, payload)


class Desk:
    """Metrics over such a daemon, a clock that is set by hand, and the figures that they show."""

    def __init__(self, store: Store | None = None) -> None:
        self.told = Told(store=store)
        self.metrics = Metrics(cast(Service, self.told))
        self.now = 0.0
        self.metrics._fold._clock = lambda: self.now
        self.observer = Several(Keeping(self.told.history), self.metrics)
        self._sequence = 0

    def happen(self, *events: AnyEvent, time: float = 1_700_000_000.0) -> None:
        for event in events:
            self._sequence += 1
            self.observer.event(self._sequence, time, event)

    def recall(self, *events: AnyEvent, time: float = 1_700_000_000.0) -> None:
        for event in events:
            self._sequence += 1
            self.observer.recalled(self._sequence, time, event.type, event.model_dump(mode="python"))

    def families(self, sizes: Sizes | None = None) -> dict[str, Metric]:
        metrics = self.metrics
        metrics._seen = snapshot(metrics._service, metrics._fold, sizes or Sizes())
        return parsed(generate_latest(metrics.registry).decode())

    def values(self) -> dict[str, float]:
        """Every sample that is not 0, as `name{label="value"}` without the prefix `coldframe_`."""
        samples = [sample for family in self.families().values() for sample in family.samples]
        shown = {}
        for name, labels, value, *_ in samples:
            braces = ",".join(f'{key}="{one}"' for key, one in sorted(labels.items()))
            if value and name.startswith("coldframe_") and not name.endswith("_bucket"):
                shown[name.removeprefix("coldframe_") + (f"{{{braces}}}" if braces else "")] = value
        return shown

    def series(self) -> int:
        return sum(len(family.samples) for family in self.families().values())


def parsed(text: str) -> dict[str, Metric]:
    """A scrape's families by name."""
    return {family.name: family for family in text_string_to_metric_families(text)}


def store_in(folder: Path) -> Store:
    return Store.open(folder / "store", write=True, create=True)
