"""`evaluate` modules that load from disk, so that scoring needs no network; one file each, with the Hub's name."""

import ast
from functools import cache
from pathlib import Path

from hftransfer.core import plugins

# Of the Hub.
_LOWER = {"brier_score", "cer", "character", "mae", "mape", "mase", "mse", "perplexity", "rmse", "smape", "ter", "wer"}


@cache
def lower_is_better(metric: str) -> bool:
    """Whether a good model keeps a metric low: one of this folder says so, `LOWER_IS_BETTER = True`.

    Of the Hub's, `evaluate-metric/wer` among them, all that are not known for it are taken as better when higher.
    """
    own = metric in plugins.names("metrics")
    return _says(metric, "LOWER_IS_BETTER = True") if own else metric.rpartition("/")[2] in _LOWER


@cache
def of_one_class(metric: str) -> bool:
    """Whether a metric is that of the class to be found alone, where a task names one: `OF_ONE_CLASS = True`."""
    return metric in plugins.names("metrics") and _says(metric, "OF_ONE_CLASS = True")


def _says(metric: str, line: str) -> bool:
    """Whether a line stands in the file of a metric, which is not imported for it."""
    tree = ast.parse((Path(__file__).parent / f"{metric}.py").read_text(encoding="utf-8"))
    return any(ast.unparse(it) == line for it in tree.body)
