"""What holds for all tests."""

import os

# Before anything imports torch: a worker has one thread, and what is trained in this process is compared with what is
# trained there, bit for bit. With two threads sums are taken in another order.
os.environ["OMP_NUM_THREADS"] = "1"
