"""The same embeddings in faiss's flat index, on one thread: a JSON object of what it took. Needs only faiss and NumPy.

Arguments: a folder with `vectors.npy` (n, d), and `NAME.npy` (rounds, blocks, d) for each kind of question.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from pathlib import Path

import faiss
import numpy as np


def main() -> None:
    """Builds, writes, reads and asks the index; the highest inner products go into `NAME-faiss.npy`."""
    folder = Path(sys.argv[1])
    faiss.omp_set_num_threads(1)
    vectors = np.load(folder / "vectors.npy")
    index = faiss.IndexFlatIP(vectors.shape[1])
    started = time.perf_counter()
    index.add(vectors)
    insert = (time.perf_counter() - started) / len(vectors)
    del vectors
    faiss.write_index(index, str(folder / "index"))
    del index
    started = time.perf_counter()
    index = faiss.read_index(str(folder / "index"))
    found = {"insert": insert, "open": time.perf_counter() - started, "version": faiss.__version__}
    for name in sys.argv[2:]:
        seconds, products = [], []
        for question in np.load(folder / f"{name}.npy"):
            started = time.perf_counter()
            products.append(index.search(question, 1)[0][:, 0])
            seconds.append(time.perf_counter() - started)
        np.save(folder / f"{name}-faiss.npy", np.stack(products))
        found[name] = statistics.median(seconds)
    status = Path("/proc/self/status").read_text().splitlines()
    found["memory"] = next(int(line.split()[1]) / 1e3 for line in status if line.startswith("VmRSS"))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
