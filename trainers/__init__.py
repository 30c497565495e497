"""What trains: networks, data and training loops, inside worker processes. Torch lives here and nowhere else."""
