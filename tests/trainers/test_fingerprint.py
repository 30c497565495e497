"""Content digests of data sets: the bytes decide, the place does not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from store.records.candidates import DataSpec
from trainers.errors import DataError
from trainers.fingerprint import DIGITS, expand, fingerprint, identity


def _npz(path: Path, seed: int = 0) -> Path:
    rng = np.random.default_rng(seed)
    np.savez(path, x_train=rng.integers(0, 256, (20, 8, 8, 3), dtype=np.uint8), y_train=np.arange(20) % 2)
    return path


def _folder(root: Path) -> Path:
    for label in ("cat", "dog"):
        (root / "train" / label).mkdir(parents=True)
        for number in range(2):
            Image.new("RGB", (8, 8), (number, 1, 2)).save(root / "train" / label / f"{number}.png")
    return root


def test_the_digits_have_a_name_and_a_version() -> None:
    assert fingerprint(DataSpec(name="digits")) == DIGITS


def test_the_same_file_elsewhere_has_the_same_digest_and_another_file_has_not(tmp_path: Path) -> None:
    first = _npz(tmp_path / "a.npz")
    (tmp_path / "b.npz").write_bytes(first.read_bytes())
    one, same = (fingerprint(DataSpec(name="npz", path=str(tmp_path / name))) for name in ("a.npz", "b.npz"))
    other = fingerprint(DataSpec(name="npz", path=str(_npz(tmp_path / "c.npz", seed=1))))
    assert one == same != other
    assert len(one) == 64


def test_a_folders_digest_is_over_names_and_bytes_of_the_training_split_only(tmp_path: Path) -> None:
    root = _folder(tmp_path / "images")
    spec = DataSpec(name="image_folder", path=str(root))
    first = fingerprint(spec)
    (root / "test" / "cat").mkdir(parents=True)
    (root / "test" / "cat" / "0.png").write_bytes(b"whatever")
    (root / "train" / "cat" / ".DS_Store").write_bytes(b"not an image")
    assert fingerprint(spec) == first
    (root / "train" / "cat" / "1.png").rename(root / "train" / "cat" / "2.png")
    assert fingerprint(spec) != first


def test_bytes_moved_from_one_image_to_the_next_change_the_digest(tmp_path: Path) -> None:
    digests = set()
    for name, parts in {"a": (b"ab", b"c"), "b": (b"a", b"bc")}.items():
        folder = tmp_path / name / "class"
        folder.mkdir(parents=True)
        for number, part in enumerate(parts):
            (folder / f"{number}.png").write_bytes(part)
        digests.add(fingerprint(DataSpec(name="image_folder", path=str(tmp_path / name))))
    assert len(digests) == 2


def test_home_and_variables_are_put_into_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SETS", str(tmp_path / "sets"))
    assert expand("npz", "~/a.npz") == tmp_path / "a.npz"
    assert expand("npz", "$SETS/b.npz") == expand("npz", "${SETS}/b.npz") == tmp_path / "sets" / "b.npz"
    _npz(tmp_path / "a.npz")
    assert len(identity(DataSpec(name="npz", path="~/a.npz")).fingerprint) == 64


@pytest.mark.parametrize(
    ("name", "path", "words"),
    [
        ("npz", "$COLDFRAME_NOT_SET/a.npz", ["COLDFRAME_NOT_SET", "not set"]),
        ("npz", "missing.npz", ["data.path", "missing.npz", "x_train"]),
        ("npz", None, ["data.path is absent", "x_train"]),
        ("image_folder", "missing", ["missing", "train/<class>/<image>"]),
        ("cifar10", "missing", ["missing/cifar-10-batches-py/data_batch_1", "cs.toronto.edu"]),
        ("fashion_mnist", None, ["data.path is absent", "FashionMNIST/raw/train-images-idx3-ubyte"]),
        ("imagenet", None, ["imagenet", "digits, npz, image_folder, cifar10, cifar100, fashion_mnist"]),
    ],
)
def test_a_wrong_name_or_path_is_refused_with_what_was_expected(
    name: str, path: str | None, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError) as raised:
        fingerprint(DataSpec(name=name, path=path))
    assert all(word in str(raised.value) for word in words), raised.value
    assert raised.value.exit_code == 2


def test_a_folder_with_a_test_split_and_no_training_split_is_refused(tmp_path: Path) -> None:
    (tmp_path / "test" / "cat").mkdir(parents=True)
    with pytest.raises(DataError, match="test: a folder for testing, and there is no folder train"):
        fingerprint(DataSpec(name="image_folder", path=str(tmp_path)))


def test_a_fingerprint_needs_no_torch() -> None:
    code = "import sys, trainers.fingerprint; print(sorted({'torch', 'torchvision', 'sklearn'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
