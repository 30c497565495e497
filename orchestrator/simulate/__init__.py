"""Searches with the tabular trainer, simulated in virtual time: one, many, and what they come to."""
