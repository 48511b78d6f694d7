"""Checkpoints and models: finding, weights, layers, pruning.

Nothing here trains or scores.
"""
