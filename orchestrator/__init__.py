"""What connects: the event loop, jobs, devices, worker processes, journal writes, the command line."""
