"""A search by reinforcement learning in the report: rewards, critic, knowledge pool, costs and how the agent learnt."""
