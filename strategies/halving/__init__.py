"""Successive halving, asynchronous (ASHA) and in batches."""
