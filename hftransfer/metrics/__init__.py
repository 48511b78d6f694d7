"""`evaluate` modules that load from disk, so that scoring needs no network; one file each, with the Hub's name."""

_LOWER = {"brier_score", "cer", "character", "mae", "mape", "mase", "masked_error", "mse", "perplexity", "rmse"}
_LOWER |= {"smape", "ter", "wer"}


def lower_is_better(metric: str) -> bool:
    """Whether a good model keeps a metric low; `evaluate-metric/wer` is the Hub's name for `wer`.

    Every metric that is not known for it is taken as better when higher.
    """
    return metric.rpartition("/")[2] in _LOWER
