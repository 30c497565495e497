"""The command line, whose event loop can be blocked: SIGUSR1 holds the main thread for as long as a variable says."""

import os
import signal
import time

from orchestrator.cli import main

if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, lambda *_: time.sleep(float(os.environ["WEDGED_SECONDS"])))
    main()
