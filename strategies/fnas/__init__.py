"""FNAS: reinforcement learning with a critic, a knowledge pool and an experience buffer (Liu et al., 2021)."""
