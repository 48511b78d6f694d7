"""Checkpoints: where they come from, their weights, layers and pooling, and how a model is made smaller.

Nothing here trains or scores.
"""
