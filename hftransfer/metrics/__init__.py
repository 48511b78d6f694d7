"""`evaluate` modules that load from disk, so that scoring needs no network; one file each, with the Hub's name."""

LOWER_IS_BETTER = frozenset({"cer", "mae", "mape", "masked_error", "mse", "perplexity", "rmse", "ter", "wer"})
"""Metrics that a good model keeps low; every other one, a Hub metric too, is taken as better when higher."""
