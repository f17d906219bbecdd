"""Hooks, the optimiser wrapper, and what changes the scores of a detector at test time."""
