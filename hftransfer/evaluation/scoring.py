"""Metrics, their bootstrap intervals, and the gate that an exported variant has to pass."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hftransfer.core import plugins
from hftransfer.core.errors import HubError, RecipeError
from hftransfer.core.results import Score
from hftransfer.tasks import Outputs, Task

_FOLDER = Path(__file__).parent.parent / "metrics"
# Rows of all resamples in memory together, 8 bytes each.
_DRAWN_AT_ONCE = 2**25


@dataclass(frozen=True)
class Metric:
    """An `evaluate` module: one value under the metric's name, and details under `name.detail`."""

    name: str
    module: Any

    @property
    def needs_probabilities(self) -> bool:
        """Whether it compares the chances of the classes, and not what was decided."""
        return bool(getattr(self.module, "needs_probabilities", False))

    def __call__(self, predictions: np.ndarray, references: np.ndarray) -> dict[str, float]:
        """Name -> value, the metric itself first."""
        # The module's own function, since `compute` writes an Arrow file at every call, and a bootstrap makes 1000.
        found = self.module._compute(predictions=predictions, references=references)
        key = self.name.rpartition("/")[2]
        details = {name: float(value) for name, value in found.items() if name.startswith(f"{key}.")}
        return {self.name: float(found.get(key, next(iter(found.values()))))} | details

    def values(
        self, predictions: np.ndarray, references: np.ndarray, draws: Iterable[np.ndarray]
    ) -> dict[str, np.ndarray]:
        """Name -> the value on all rows, then on each draw of rows; `draws` are of shape (some resamples, rows)."""
        if not hasattr(self.module, "weighted"):
            drawn = (self(predictions[rows], references[rows]) for some in draws for rows in some)
            found = [self(predictions, references), *drawn]
            return {name: np.array([one.get(name, np.nan) for one in found]) for name in found[0]}
        weighted, count = self.module.weighted(predictions, references), len(references)
        times = (np.stack([np.bincount(rows, minlength=count) for rows in some]) for some in draws)
        parts = [weighted(np.ones((1, count), dtype=int)), *map(weighted, times)]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


@dataclass(frozen=True)
class Scorer:
    """Metrics with their bootstrap: percentile intervals (Efron and Tibshirani 1993, ch. 13)."""

    metrics: list[Metric]
    confidence: float
    resamples: int
    seed: int

    def resample(
        self, predictions: np.ndarray, references: np.ndarray, probabilities: np.ndarray | None = None
    ) -> dict[str, np.ndarray]:
        """Metric -> its value on all rows, then on each resample of them.

        Rows are drawn with replacement, the same draws for every variant.
        """
        found: dict[str, np.ndarray] = {}
        for metric in self.metrics:
            said = probabilities if metric.needs_probabilities else predictions
            if said is None:
                raise TypeError(f"'{metric.name}' compares chances of classes, and there are none")
            found |= metric.values(said, references, self._draws(len(references)))
        return found

    def evaluate(self, task: Task, outputs: Outputs, references: np.ndarray) -> dict[str, np.ndarray]:
        """`resample` of what a task makes of a model's outputs."""
        return self.resample(task.postprocess(outputs), references, task.probabilities(outputs))

    def _draws(self, count: int) -> Iterator[np.ndarray]:
        rng, most = np.random.default_rng(self.seed), max(1, _DRAWN_AT_ONCE // count)
        for done in range(0, self.resamples, most):
            yield rng.integers(0, count, (min(most, self.resamples - done), count))

    def interval(self, values: np.ndarray, count: int) -> Score:
        """A score out of its values as `resample` gives them, or as the difference of two of them.

        The draws being the same, the interval of a difference is that of a paired bootstrap (Efron and Tibshirani 1993,
        ch. 8).
        """
        tail = 50 * (1 - self.confidence)
        low, high = np.nanpercentile(values[1:], [tail, 100 - tail])
        return Score(value=float(values[0]), low=float(low), high=float(high), count=count)


def check_metrics(names: list[str]) -> None:
    """Every name is a file of `hftransfer/metrics/` or the id of a metric on the Hub.

    Raises:
        RecipeError: it is neither, or the Hub cannot be asked.
    """
    from hftransfer.hub.client import resolve

    for name in names:
        if name in plugins.names("metrics"):
            continue
        try:
            resolve(name if "/" in name else f"evaluate-metric/{name}", repo_type="space")
        except HubError as error:
            near = plugins.nearest(name, plugins.names("metrics"))
            raise RecipeError(f"evaluation.metrics: '{name}' is no metric of hftransfer, and {error}; {near}") from None


def check_metric(name: str, task: Task, splits: dict[str, Any]) -> None:
    """Make sure that a metric can compare what the task predicts, by the references of each split themselves.

    Raises:
        RecipeError: it cannot, or a class without which it has no value is not there.
    """
    try:
        metric = load_metric(name, task.metric_config())
        values = {split: _of_itself(metric, task, rows) for split, rows in splits.items()}
    except (TypeError, ValueError, KeyError, IndexError, AttributeError, ImportError) as error:
        known, why = ", ".join(task.metrics()), " ".join(str(error).split())[:200]
        raise RecipeError(
            f"evaluation.metrics: '{name}' does not fit the task '{task.name}' (its own: {known}): {why}"
        ) from None
    for split, value in values.items():
        if value is not None and np.isnan(value):
            raise RecipeError(
                f"evaluation.metrics: '{name}' has no value on the {len(splits[split])} rows of split '{split}', which "
                f"lack a class that is to be told from others: data.splits.{split} may be larger"
            )


def _of_itself(metric: Metric, task: Task, rows: Any) -> float | None:
    """The metric of references held against themselves; None where that is of the first rows alone."""
    few = task.references(rows.select(range(min(8, len(rows)))))
    classes = few.dtype.kind == "i"
    # One of the Hub may look at how many classes there are; a class that no row has cannot be found.
    references = task.references(rows) if classes or metric.name not in plugins.names("metrics") else few
    value = metric(_sure(task, references) if metric.needs_probabilities else references, references)[metric.name]
    return value if classes else None


def _sure(task: Task, references: np.ndarray) -> np.ndarray:
    """The chances of a model that is right and sure.

    Raises:
        TypeError: the task has none.
    """
    if not task.labels or references.dtype.kind != "i":
        raise TypeError("it compares chances of classes")
    return references.astype(float) if references.ndim == 2 else np.eye(len(task.labels))[references]


def load_metric(name: str, config: str | None) -> Metric:
    """A metric of `hftransfer/metrics/` or of the Hub.

    A Hub metric is Python code of its repository; naming it in the recipe is what allows it to run.
    """
    import evaluate

    own = name in plugins.names("metrics")
    return Metric(name, evaluate.load(str(_FOLDER / f"{name}.py"), config) if own else evaluate.load(name))


def gate(metric: str, drop: Score, max_drop: float) -> str | None:
    """Why an exported variant may not ship; None where it keeps what was trained."""
    if drop.value <= max_drop:
        return None
    interval = f"[{drop.low:.4f}, {drop.high:.4f}]"
    return f"it loses {drop.value:.4f} {interval} of {metric} on {drop.count} test rows, and max_drop is {max_drop}"


def confusion(predictions: np.ndarray, references: np.ndarray, labels: tuple[str, ...]) -> list[list[int]]:
    """Rows: references, columns: predictions; empty unless each row has one class."""
    from sklearn.metrics import confusion_matrix

    if predictions.ndim != 1 or predictions.dtype.kind != "i" or not labels:
        return []
    found: list[list[int]] = confusion_matrix(references, predictions, labels=[*range(len(labels))]).tolist()
    return found


def calibration_error(probabilities: np.ndarray, references: np.ndarray, bins: int = 15) -> float:
    """How far confidence is from accuracy, by bins of confidence weighted by their rows.

    Guo et al. 2017, https://arxiv.org/abs/1706.04599, equation 3, with their 15 bins. `chances` has the shape
    (rows, classes) and sums to 1 by row; `references` are class numbers.
    """
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == references
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = (abs((right[place == one] - confidence[place == one]).sum()) for one in range(bins))
    return float(sum(gaps) / len(references))
