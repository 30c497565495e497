"""Takes a trained network out of the store: weights, a definition in plain PyTorch, and a card."""
