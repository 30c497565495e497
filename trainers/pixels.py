"""Where a data set's pixels lie while a candidate is trained: on the device, or where they are read from as needed.

Which of the two it is changes no bit of a batch. Streamed pixels are gathered by a thread a few batches ahead, into
pinned memory where there is a GPU; they may lie in a memory-mapped file that is larger than the memory.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from trainers.readers import Labels, Pixels

AHEAD = 3
"""Batches that are gathered before they are asked for."""

SHARE = 0.125
"""Of a device's free memory, how much a data set may take: several workers may share the device."""


_CONTROL_GROUP = Path("/sys/fs/cgroup")


class Shelf(Protocol):
    """Some images of a data set: the pixels (H, C, W) of each, by their number among them."""

    def at(self, indices: Tensor) -> Tensor:
        """Returns the pixels (batch, H, C, W), uint8 on the device, of images numbered by an int64 tensor there."""
        ...

    def feed(self, batches: Sequence[Labels]) -> Feed | None:
        """Returns what gathers batches ahead of time; none where that is no use, and `at` costs next to nothing."""
        ...


class Resident:
    """Images that lie on the device."""

    def __init__(self, pixels: Pixels, chosen: Labels, device: torch.device) -> None:
        """Moves images there; arguments as of `Streamed`."""
        self._pixels = torch.from_numpy(np.ascontiguousarray(pixels[chosen].transpose(0, 2, 1, 3))).to(device)

    def at(self, indices: Tensor) -> Tensor:
        """Returns images by number."""
        return self._pixels[indices]

    def feed(self, batches: Sequence[Labels]) -> None:
        """There is nothing to gather."""
        return


class Streamed:
    """Images that stay where they are, and are moved to the device a batch at a time.

    Args:
        pixels: (N, C, H, W), in memory or memory-mapped.
        chosen: which of them these are.
        device: where the batches go.
    """

    def __init__(self, pixels: Pixels, chosen: Labels, device: torch.device) -> None:
        self._gather = _Gather(pixels, chosen, device.type == "cuda")
        self._device = device

    def at(self, indices: Tensor) -> Tensor:
        """Returns images by number; waits until they are read."""
        return self._gather(indices.cpu().numpy()).to(self._device, non_blocking=True)

    def feed(self, batches: Sequence[Labels]) -> Feed:
        """Returns what gathers batches in this order, in a thread of its own."""
        return Feed(self._gather, batches, self._device)


class Feed:
    """Batches of pixels, gathered ahead by one thread, which ends when nothing refers to the feed any more."""

    def __init__(self, gather: _Gather, batches: Sequence[Labels], device: torch.device) -> None:
        """Starts nothing before the first `take`."""
        self._gather, self._batches, self._device = gather, batches, device
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="coldframe-feed")
        self._waiting: dict[int, Future[Tensor]] = {}

    def take(self, number: int) -> Tensor:
        """Returns a batch's pixels (batch, H, C, W), uint8 on the device, and has those after it gathered.

        Any number may be asked for; going on to the next one costs the least. What the thread raised is raised here.
        """
        window = range(number, min(number + AHEAD + 1, len(self._batches)))
        for stale in self._waiting.keys() - set(window):
            self._waiting.pop(stale).cancel()
        for each in window:
            if each not in self._waiting:
                self._waiting[each] = self._thread.submit(self._gather, self._batches[each])
        return self._waiting.pop(number).result().to(self._device, non_blocking=True)


class _Gather:
    """Copies images into a new tensor; the thread's work, so it holds no reference to the feed."""

    def __init__(self, pixels: Pixels, chosen: Labels, pin: bool) -> None:
        self._rows = pixels.transpose(0, 2, 1, 3)  # of a decoded cache this is the order in the file
        self._chosen, self._pin = chosen, pin
        self._map: mmap.mmap | None = getattr(self._rows, "_mmap", None)
        self._whole = self._rows.flags.c_contiguous

    def __call__(self, indices: Labels) -> Tensor:
        places = self._chosen[indices]
        batch = torch.empty((len(places), *self._rows.shape[1:]), dtype=torch.uint8, pin_memory=self._pin)
        if self._whole:
            self._expect(places)
            np.take(self._rows, places, axis=0, out=batch.numpy(), mode="clip")  # other modes copy twice
        else:
            batch.numpy()[...] = self._rows[places]
        return batch

    def _expect(self, places: Labels) -> None:
        """Has the kernel read all of the batch at once; it would wait for one image after the other."""
        if self._map is None:
            return
        size = self._rows[0].nbytes
        for start in (places * size).tolist():
            first = start - start % mmap.PAGESIZE
            self._map.madvise(mmap.MADV_WILLNEED, first, min(start + size, len(self._map)) - first)


def fits(needed: int, device: torch.device) -> bool:
    """Whether so many bytes are at most the share of a device's free memory that a data set may take."""
    return needed <= SHARE * free_bytes(device)


def free_bytes(device: torch.device) -> int:
    """Returns what is free on a GPU, else how much memory this process could have without swapping."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    free = _number(Path("/proc/meminfo"), "MemAvailable:")
    available = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2 if free is None else free << 10
    limit, taken = _number(_CONTROL_GROUP / "memory.max"), _number(_CONTROL_GROUP / "memory.stat", "anon")
    return available if limit is None or taken is None else min(available, max(0, limit - taken))


def _number(file: Path, key: str | None = None) -> int | None:
    """A number that the kernel tells, after a key at a line's beginning or alone; none where it is not told."""
    try:
        words = [line.split() for line in file.read_text().splitlines()]
        return next(int(line[-1] if key is None else line[1]) for line in words if key in (None, line[0]))
    except (OSError, ValueError, StopIteration):
        return None
