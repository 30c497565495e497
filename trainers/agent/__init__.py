"""The agent of FNAS and of its baselines: an LSTM policy, PPO or REINFORCE, and the uncertainty-aware critic.

`iteration.iterate` is the one way in: a pure function from arrays and a request to arrays and an answer.
"""
