"""The whole training step as a CUDA graph: one launch instead of some two thousand.

A step of the small networks that proxies ask for is bound by launches: the GPU could do it many times in the time that
it takes to ask for it. So a step is recorded once (augmentation, forward, backward, clipping, SGD and the sums of loss
and accuracy) and then replayed, and scoring the validation images likewise.

What differs between steps lies in buffers that the graph reads: the draws, the masks of dropped paths and the learning
rates of a *window* of steps, and a counter that the graph itself moves on. Between two fillings of the window a step is
a single replay, which waits for nothing. Where pixels are streamed, a window is one step.

The rest is kept outside of this device-bound part: `Captured` fills buffers and counts, `CudaGraphs` records. Tests on
a CPU give `Captured` a recorder that repeats by calling, and compare it with `Eager` bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from trainers import process, schedule
from trainers.data import Draws
from trainers.step import Batch, Sums, score, train_step
from trainers.stepper import Alive, Eager

WINDOW = 64
"""Steps whose draws are copied at once; also how often the trainer looks at the loss on a GPU."""
_WARM_UPS = 3


class Recording(Protocol):
    """Work that can be repeated."""

    def replay(self) -> None:
        """Does it once, on what its tensors hold now."""
        ...

    def close(self) -> None:
        """Gives its memory back; it is never replayed again."""
        ...


Recorder = Callable[[Callable[[], None]], Recording]
"""Records work that reads and writes the same tensors each time. It may do it any number of times meanwhile."""


class CudaGraphs:
    """Records CUDA graphs, each with a memory pool of its own."""

    def __call__(self, work: Callable[[], None]) -> Recording:
        """Does the work a few times on a side stream, as libraries set themselves up at first use, and captures it.

        Both on one stream: the workspaces that cuBLAS has for a stream then lie outside of the graph's own pool.
        """
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        try:
            with torch.cuda.stream(stream):
                for _ in range(_WARM_UPS):
                    work()
        finally:  # also where it failed: what it changed is put back on this stream
            torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        # Other threads go on (pixels are pinned ahead of time): what they ask of CUDA must not end the capture.
        with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
            work()
        return _Graph(graph)


class _Graph:
    def __init__(self, graph: torch.cuda.CUDAGraph) -> None:
        self._graph = graph

    def replay(self) -> None:
        self._graph.replay()

    def close(self) -> None:
        torch.cuda.current_stream().synchronize()
        self._graph.reset()
        torch.cuda.empty_cache()


class _Scoring(NamedTuple):
    images: Tensor
    labels: Tensor
    sums: Sums
    recording: Recording


class Captured:
    """Makes steps by replaying a recorded one.

    Steps of fewer batches than the others (the last of an epoch where gradients are accumulated), and scored batches of
    another size than the first, are made by `eager`. If the work cannot be recorded at all that is logged, and `eager`
    makes every step: the results are the same.

    Args:
        eager: makes the same steps one operation after another; holds network, optimiser and sums.
        recorder: records the work; `CudaGraphs` on a GPU.
        window: how many steps' draws are copied at once.
    """

    def __init__(self, eager: Eager, recorder: Recorder, window: int = WINDOW) -> None:
        self._eager, self._recorder = eager, recorder
        self._window = 1 if eager.data.streamed else window
        self._parts = eager.recipe.accumulate or 1
        self._whole = eager.data.steps // self._parts
        device = eager.data.device
        self._rates = torch.zeros(self._window, dtype=torch.float32, device=device)
        self._counter = torch.zeros(1, dtype=torch.int64, device=device)
        self._buffers: list[Tensor] = []
        self._held = range(0)
        self._next = 0
        self._training: Recording | None = None
        self._scoring: _Scoring | None = None
        self._recordable = True

    @property
    def sums(self) -> Sums:
        """See `Stepper`."""
        return self._eager.sums

    @property
    def steps(self) -> int:
        """See `Stepper`."""
        return self._eager.steps

    def begin(self, epoch: int) -> None:
        """See `Stepper`."""
        self._eager.begin(epoch)
        self._held = range(0)

    def step(self, number: int, alive: Alive) -> int:
        """See `Stepper`."""
        if number >= self._whole or not self._recordable:
            self._held = range(0)
            return self._eager.step(number, alive)
        alive()
        if number not in self._held or number != self._next:
            self._fill(number)
        if self._training is None:
            self._training = self._record(self._work)
            if self._training is None:
                return self._eager.step(number, alive)
        images, before = self._parts * self._eager.data.batch_size, self.sums.images
        self._training.replay()
        self._next, self.sums.images = number + 1, before + images  # numbers of this side, which no graph counts
        return images

    @torch.no_grad()
    def evaluate(self, batches: Iterable[tuple[Tensor, Tensor]]) -> Sums:
        """See `Stepper`."""
        eager = self._eager
        eager.network.eval()
        sums = Sums.zero(eager.data.device)
        for images, labels in batches:
            if self._scoring is None and self._recordable:
                self._scoring = self._record_scoring(images, labels)
            found = self._scoring
            if found is None or found.images.shape != images.shape:
                score(eager.network, images, labels, sums, eager.recipe)
                continue
            found.images.copy_(images)
            found.labels.copy_(labels)
            found.sums.clear()
            found.recording.replay()
            sums.loss += found.sums.loss
            sums.correct += found.sums.correct
            sums.images += len(labels)
        return sums

    def close(self) -> None:
        """See `Stepper`."""
        for recording in (self._training, self._scoring and self._scoring.recording):
            if recording is not None:
                recording.close()
        self._training = self._scoring = None
        self._buffers, self._recordable = [], False

    def _work(self) -> None:
        """One step of the window: what is recorded. All that it reads and changes stays where it is."""
        eager = self._eager
        eager.network.train()
        rate = self._rates.index_select(0, self._counter).view(())
        train_step(eager.network, eager.optimizer, self._batches(), self._parts, rate, eager.recipe, eager.sums)
        self._counter.add_(1).remainder_(self._window)

    def _batches(self) -> Iterator[Batch]:
        """Yields the batches of the step that the counter stands at."""
        data = self._eager.data
        held = [buffer.index_select(0, self._counter)[0] for buffer in self._buffers]
        for part in range(self._parts):
            rest = [tensor[part] for tensor in held]
            draws, rest = Draws(*rest[: len(Draws._fields)]), rest[len(Draws._fields) :]
            pixels = rest.pop(0) if data.streamed else None
            yield Batch(*data.batch(draws, pixels), rest.pop(0) if rest else None)

    def _fill(self, first: int) -> None:
        """Puts the draws, masks and rates of the steps from `first` into the buffers."""
        self._held, self._next = range(first, min(first + self._window, self._whole)), first
        found = [torch.stack(each) for each in zip(*map(self._drawn, self._held), strict=True)]
        if not self._buffers:
            self._buffers = [self._buffer(each) for each in found]
        rates = torch.tensor([self._eager.rate(number) for number in self._held], dtype=torch.float32)
        for buffer, values in zip([*self._buffers, self._rates], [*found, rates], strict=True):
            pinned = values.pin_memory() if buffer.is_cuda and not values.is_cuda else values
            buffer[: len(self._held)].copy_(pinned, non_blocking=True)
        self._counter.zero_()

    def _buffer(self, values: Tensor) -> Tensor:
        """Returns an empty buffer on the device for the values of a whole window, given those of a window or less."""
        shape = (self._window, *values.shape[1:])
        return torch.zeros(shape, dtype=values.dtype, device=self._eager.data.device)

    def _drawn(self, number: int) -> list[Tensor]:
        """Returns what a step reads, each tensor stacked over the step's batches: draws, pixels, masks."""
        eager = self._eager
        found = []
        for batch in schedule.batches_of(number, eager.data.steps, eager.recipe):
            others = (eager.epoch.pixels(batch), eager.keep(batch))
            found.append([*eager.epoch.draws(batch), *(each for each in others if each is not None)])
        return [torch.stack(each) for each in zip(*found, strict=True)]

    def _record_scoring(self, images: Tensor, labels: Tensor) -> _Scoring | None:
        eager, sums = self._eager, Sums.zero(images.device)
        images, labels = images.clone(), labels.clone()
        recording = self._record(lambda: score(eager.network, images, labels, sums, eager.recipe))
        return None if recording is None else _Scoring(images, labels, sums, recording)

    def _record(self, work: Callable[[], None]) -> Recording | None:
        """Returns a recording of the work, with all that it changed meanwhile as it was before; none if it cannot be.

        Raises:
            torch.OutOfMemoryError: if there is no room for it.
        """
        before, images = [each.clone() for each in self._state()], self.sums.images
        try:
            return self._recorder(work)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            self._recordable = False
            process.log.warning("the step cannot be captured as a CUDA graph and is made by single calls: %s", error)
            return None
        finally:
            self._eager.optimizer.drop()
            with torch.no_grad():
                for target, source in zip(self._state(), before, strict=True):
                    target.copy_(source)
            self.sums.images = images

    def _state(self) -> list[Tensor]:
        """All that a step changes. Asked for anew each time: the first step moves parameters and momentum."""
        eager = self._eager
        changed = [*eager.network.state_dict().values(), *eager.optimizer.momentum.values()]
        return [*changed, eager.sums.loss, eager.sums.correct, self._counter]
