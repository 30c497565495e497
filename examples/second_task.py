"""Writes the digits turned by a quarter, to be told odd from even: another task with images of the same shape.

second_task.py FILE.npz, for fnas-transfer-digits.toml.
"""

import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

TEST = 297

digits = load_digits()
images = np.rot90((15 * digits.images).astype(np.uint8), axes=(1, 2))
labels = digits.target % 2
order = np.random.default_rng(0).permutation(len(labels))
test, train = order[:TEST], order[TEST:]
file = Path(sys.argv[1])
file.parent.mkdir(parents=True, exist_ok=True)
np.savez_compressed(file, x_train=images[train], y_train=labels[train], x_test=images[test], y_test=labels[test])
print(f"{file}: {len(train)} images to learn from and {TEST} to test, 8 x 8 pixels, 2 classes")
