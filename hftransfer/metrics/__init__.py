"""Metrics, one file each, with the Hub's name; they load from disk, so that scoring needs no network.

`load_metric` opens one of this folder or, by its id, one of the Hub.
"""

from collections.abc import Mapping
from functools import cache

from hftransfer.core import plugins
from hftransfer.metrics._base import Metric, Resampler
from hftransfer.metrics._hub import HubMetric

__all__ = ["Metric", "Resampler", "load_metric", "lower_is_better", "of_one_class"]

_HUB_LOWER_IS_BETTER = frozenset(
    {"brier_score", "cer", "character", "mae", "mape", "mase", "mse", "perplexity", "rmse", "smape", "ter", "wer"}
)


def load_metric(name: str, options: Mapping[str, object] | None = None) -> Metric:
    """A metric of this folder, with those of a task's `metric_options` that are its fields, or a metric of the Hub.

    A Hub metric is Python code of its repository; naming it in the recipe is what allows it to run.

    Raises:
        MissingExtraError: a package that the metric imports is not installed.
    """
    if name not in plugins.names("metrics"):
        return HubMetric(id=name)
    cls = plugins.load("metrics", name)
    metric: Metric = cls(**{key: value for key, value in (options or {}).items() if key in cls.model_fields})
    metric.check_installed()
    return metric


@cache
def lower_is_better(metric: str) -> bool:
    """Whether a better model has a lower value; of Hub metrics, those whose name is known for it (`someone/wer`)."""
    if metric in plugins.names("metrics"):
        return bool(plugins.load("metrics", metric).lower_is_better)
    return metric.rpartition("/")[2] in _HUB_LOWER_IS_BETTER


@cache
def of_one_class(metric: str) -> bool:
    """Whether a metric is of one class alone where a task names one (`task.positive`): it has a field `positive`."""
    return metric in plugins.names("metrics") and "positive" in plugins.load("metrics", metric).model_fields
