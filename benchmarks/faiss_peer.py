"""The same embeddings in faiss's flat index, on one thread: a JSON object of what it took. Needs only faiss and NumPy.

Arguments: a folder with `vectors.npy` (n, d) and, for each kind of question, `NAME.npy` (rounds, blocks, d); the clock;
the kinds' names.
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
    clock = {"wall": time.perf_counter, "processor": time.process_time}[sys.argv[2]]
    faiss.omp_set_num_threads(1)
    vectors = np.load(folder / "vectors.npy")
    index = faiss.IndexFlatIP(vectors.shape[1])
    started = clock()
    index.add(vectors)
    insert = (clock() - started) / len(vectors)
    del vectors
    faiss.write_index(index, str(folder / "index"))
    del index
    started = clock()
    index = faiss.read_index(str(folder / "index"))
    found = {"insert": insert, "open": clock() - started, "version": faiss.__version__}
    for name in sys.argv[3:]:
        seconds, products = [], []
        for question in np.load(folder / f"{name}.npy"):
            started = clock()
            products.append(index.search(question, 1)[0][:, 0])
            seconds.append(clock() - started)
        np.save(folder / f"{name}-faiss.npy", np.stack(products))
        found[name] = statistics.median(seconds)
    status = Path("/proc/self/status").read_text().splitlines()
    found["memory"] = next(int(line.split()[1]) / 1e3 for line in status if line.startswith("VmRSS"))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
