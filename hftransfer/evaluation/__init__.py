"""Scores and costs of a model: inference over a split, metrics with bootstrap intervals, latency, feature similarity.

One path for pretrained, tuned, exported and quantized models.
"""
