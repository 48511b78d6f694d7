"""`evaluate` modules that load from disk, so that scoring needs no network; one file each, with the Hub's name."""

import ast
from functools import cache
from pathlib import Path

from hftransfer import plugins

# Of the Hub.
_LOWER = {"brier_score", "cer", "character", "mae", "mape", "mase", "mse", "perplexity", "rmse", "smape", "ter", "wer"}


@cache
def lower_is_better(metric: str) -> bool:
    """Whether a good model keeps a metric low: one of this folder says so, `LOWER_IS_BETTER = True`.

    Of the Hub's, `evaluate-metric/wer` among them, all that are not known for it are taken as better when higher.
    """
    if metric in plugins.names("metrics"):
        tree = ast.parse((Path(__file__).parent / f"{metric}.py").read_text(encoding="utf-8"))
        return any(ast.unparse(line) == "LOWER_IS_BETTER = True" for line in tree.body)
    return metric.rpartition("/")[2] in _LOWER
