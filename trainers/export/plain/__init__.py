"""The networks once more, in plain PyTorch: what is written into an export's `network.py`, word for word."""
