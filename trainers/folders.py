"""Folders of images, one folder a class: decoded by several threads, resized and cropped to one size where asked."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from trainers.errors import DataMalformed, DataPathMissing
from trainers.fingerprint import class_images, folder_of_test, train_folder
from trainers.sources import Decoded, Labels, Pixels, Place, is_of_the_system

COSTLY_BYTES = 16 << 20
"""Folders whose decoded images take more are decoded once, and kept."""


class Folder:
    """The images of a folder of classes as RGB; the classes are numbered from 0 in the order of their names.

    With `image_size` S an image is treated as by torchvision's Resize(S) and CenterCrop(S): its shorter side becomes S
    (bilinear, antialiased, in PIL's 8 bits), the longer one int(S * longer / shorter), and the middle S x S stays.
    """

    def __init__(self, place: Place) -> None:
        """Lists the files, and decodes the first where no size is given.

        Raises:
            DataPathMissing: if there is no such folder, or a file of it cannot be read just now.
            DataMalformed: if a class has no image, or the first image is broken.
        """
        self._place = place
        folder = (folder_of_test if place.test else train_folder)(place.name, place.path)
        classes = class_images(folder)
        for label, files in classes.items():
            if not files:
                expected = "at least one .jpg, .png, ... in each class"
                raise DataMalformed(place.name, str(folder), label, "no image in it", expected)
        if not classes:
            raise DataMalformed(place.name, str(folder), "classes", "no folder in it", "a folder of images for each")
        self._folder, self._files = folder, [file for files in classes.values() for file in files]
        self.class_names = tuple(classes)
        self.labels: Labels = np.repeat(np.arange(len(classes)), [len(files) for files in classes.values()])
        self._like, self.shape = self._first_shape()

    @property
    def costly(self) -> bool:
        """Images that are resized are always kept: the files may be many times as large."""
        return self._place.image_size is not None or len(self._files) * int(np.prod(self.shape)) > COSTLY_BYTES

    def decoded(self, part: range, told: Callable[[int], None]) -> Decoded:
        """See `Source`: images that cannot be decoded are left out if `skip_broken` says so.

        Raises:
            DataPathMissing: if a file cannot be read just now.
            DataMalformed: if an image is broken, or of another size than the first.
        """
        files, images, kept, broken = self._files[part.start : part.stop], [], [], []
        with ThreadPoolExecutor(len(os.sched_getaffinity(0)), thread_name_prefix="coldframe-decode") as threads:
            for number, found in enumerate(threads.map(self._one, files)):
                told(part.start + number)
                if found is None:
                    broken.append(str(files[number].relative_to(self._folder)))
                else:
                    images.append(found)
                    kept.append(number)
        pixels = np.stack(images) if images else np.zeros((0, *self.shape[1:], 3), np.uint8)
        return Decoded(np.moveaxis(pixels, 3, 1), np.array(kept, np.int64), tuple(broken))

    def _one(self, file: Path) -> Pixels | None:
        """One image (H, W, 3); none if it is broken and may be."""
        try:
            pixels = _decoded(self._place, file)
        except DataMalformed:
            if self._place.skip_broken:
                return None
            raise
        if pixels.shape[:2] != self.shape[1:]:
            (height, width), (_, first_height, first_width) = pixels.shape[:2], self.shape
            expected = f"{first_width} x {first_height} as {self._like}, or data.image_size to resize and crop all"
            raise DataMalformed(self._place.name, str(file), "size", f"{width} x {height}", expected)
        return pixels

    def _first_shape(self) -> tuple[Path | None, tuple[int, int, int]]:
        """The first image that is not broken, and its shape (C, H, W)."""
        if self._place.image_size is not None:
            return None, (3, self._place.image_size, self._place.image_size)
        for file in self._files:
            try:
                height, width, channels = _decoded(self._place, file).shape
            except DataMalformed:
                if not self._place.skip_broken:
                    raise
            else:
                return file, (channels, height, width)
        raise DataMalformed(self._place.name, str(self._folder), "images", "none can be decoded", "sound image files")


def fitted(image: Image.Image, size: int) -> Image.Image:
    """Returns an image whose shorter side is resized to `size`, and of that the middle `size` x `size`."""
    short, long = sorted(image.size)
    other = int(size * long / short)
    wide = image.size[0] > image.size[1]
    resized = image.resize((other, size) if wide else (size, other), Image.Resampling.BILINEAR)
    left, top = (round((length - size) / 2) for length in resized.size)
    return resized.crop((left, top, left + size, top + size))


def _decoded(place: Place, file: Path) -> Pixels:
    try:
        with Image.open(file) as image:
            coloured = image.convert("RGB")
            return np.asarray(coloured if place.image_size is None else fitted(coloured, place.image_size))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        if is_of_the_system(error):
            raise DataPathMissing(place.name, str(file), f"a file that can be read ({error})") from error
        expected = "a sound image file, or data.skip_broken = true to leave such files out"
        raise DataMalformed(place.name, str(file), "image", f"cannot be decoded ({error})", expected) from error
