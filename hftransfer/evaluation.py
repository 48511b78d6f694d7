"""Predict and score, one path for pretrained, tuned, exported and quantized models."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from hftransfer import plugins
from hftransfer.encoding import Encoded
from hftransfer.errors import HubError, RecipeError
from hftransfer.results import RuntimeFacts, Score
from hftransfer.tasks import Outputs, Task, stacked

_FOLDER = Path(__file__).parent / "metrics"
# Timed calls by batch size, and seconds after which a slow model has been timed often enough.
_TIMED = {1: 40, 8: 15}
_WARM, _LEAST, _ENOUGH = 3, 5, 5.0
# Rows of all resamples in memory together, 8 bytes each.
_DRAWN_AT_ONCE = 2**25


@dataclass(frozen=True)
class Metric:
    """An `evaluate` module: one value under the metric's name, and details under `name.detail`."""

    name: str
    module: Any

    @property
    def of_chances(self) -> bool:
        """Whether it compares the chances of the classes, and not what was decided."""
        return bool(getattr(self.module, "chances", False))

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
        self, predictions: np.ndarray, references: np.ndarray, chances: np.ndarray | None = None
    ) -> dict[str, np.ndarray]:
        """Metric -> its value on all rows, then on each resample of them.

        Rows are drawn with replacement, the same draws for every variant.
        """
        found: dict[str, np.ndarray] = {}
        for metric in self.metrics:
            said = chances if metric.of_chances else predictions
            if said is None:
                raise TypeError(f"'{metric.name}' compares chances of classes, and there are none")
            found |= metric.values(said, references, self._draws(len(references)))
        return found

    def judge(self, task: Task, outputs: Outputs, references: np.ndarray) -> dict[str, np.ndarray]:
        """`resample` of what a task makes of a model's outputs."""
        return self.resample(task.decide(outputs), references, task.chances(outputs))

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
    from hftransfer.hub import resolve

    for name in names:
        if name in plugins.names("metrics"):
            continue
        try:
            resolve(name if "/" in name else f"evaluate-metric/{name}", repo_type="space")
        except HubError as error:
            near = plugins.nearest(name, plugins.names("metrics"))
            raise RecipeError(f"evaluation.metrics: '{name}' is no metric of hftransfer, and {error}; {near}") from None


def check_fit(name: str, task: Task, splits: dict[str, Any]) -> None:
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
    value = metric(_sure(task, references) if metric.of_chances else references, references)[metric.name]
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


def predict(task: Task, model: Any, encoded: Encoded, split: str, batch_size: int, what: str) -> Outputs:
    """Outputs for all rows of a split, in their order; batches hold rows of like length.

    Under several processes each takes its share, and all get the whole.
    """
    import torch
    from accelerate import PartialState
    from accelerate.utils import gather_object, send_to_device

    rows = encoded.splits[split]
    order = _by_length(rows)
    state = PartialState()
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    mine = batches[state.process_index :: state.num_processes]
    if hasattr(model, "eval"):
        model.eval()
    device = getattr(model, "device", torch.device("cpu"))
    found: list[tuple[int, Outputs]] = []
    with torch.inference_mode(), tqdm(total=len(rows), desc=what, unit="row", disable=not state.is_main_process) as bar:
        for batch in mine:
            made = task.predict(model, send_to_device(encoded.collate(rows.__getitems__(batch)), device))
            found += [(row, {name: array[i] for name, array in made.items()}) for i, row in enumerate(batch)]
            bar.update(min(len(batch) * state.num_processes, bar.total - bar.n))
    shared = gather_object(found) if state.num_processes > 1 else found
    outputs = [output for _, output in sorted(shared, key=lambda pair: pair[0])]
    return {name: stacked([output[name] for output in outputs]) for name in outputs[0]}


def _by_length(rows: Any) -> list[int]:
    """Row numbers, longest rows first, so that the progress bar errs on the safe side."""
    names = rows.column_names or []
    return (
        np.argsort(-np.asarray(rows["length"][:]), kind="stable").tolist() if "length" in names else [*range(len(rows))]
    )


def runtime(task: Task, model: Any, encoded: Encoded, size: int, what: str, split: str = "test") -> RuntimeFacts:
    """Latency of batches of 1 and 8 rows of a split, warm, and `size`, the bytes of the weights.

    The median of 40 (of 15) calls; of fewer where they take more than five seconds.
    """
    import torch
    from accelerate.utils import send_to_device

    rows = encoded.splits[split]
    milliseconds: dict[int, list[float]] = {}
    if hasattr(model, "eval"):
        model.eval()
    device = getattr(model, "device", torch.device("cpu"))
    with torch.inference_mode():
        for count, repeats in _TIMED.items():
            milliseconds[count] = []
            for turn in tqdm(range(_WARM + repeats), desc=f"timing {what}, batch {count}", unit="batch", leave=False):
                batch = encoded.collate([rows[(turn * count + i) % len(rows)] for i in range(count)])
                moved = send_to_device(batch, device)
                start = time.perf_counter()
                task.predict(model, moved)
                milliseconds[count].append(1000 * (time.perf_counter() - start))
                if turn >= _WARM + _LEAST and sum(milliseconds[count]) > 1000 * _ENOUGH:
                    break
    (p50, p95), (p50_8, p95_8) = (np.percentile(milliseconds[n][_WARM:], [50, 95]).tolist() for n in (1, 8))
    return RuntimeFacts(bytes=size, p50_ms=p50, p95_ms=p95, p50_ms_batch8=p50_8, p95_ms_batch8=p95_8)


def in_turns(task: Task, models: Sequence[Any], encoded: Encoded, split: str) -> list[float]:
    """Median milliseconds of a call of each model on one row of a split.

    The models take turns of five calls, of which the first is not counted: what else the machine does, and what the
    one before leaves in the caches, is the same for all.
    """
    import torch

    rows = encoded.splits[split]
    times: list[list[float]] = [[] for _ in models]
    with torch.inference_mode():
        for turn in range(max(2, _TIMED[1] // 5)):
            batch = encoded.collate([rows[turn % len(rows)]])
            for model, own in zip(models, times, strict=True):
                for call in range(5):
                    start = time.perf_counter()
                    task.predict(model, batch)
                    if call:
                        own.append(1000 * (time.perf_counter() - start))
            if sum(map(sum, times)) > 1000 * _ENOUGH * len(models):
                break
    return [float(np.median(own)) for own in times]


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


def calibration_error(chances: np.ndarray, references: np.ndarray, bins: int = 15) -> float:
    """How far confidence is from accuracy, by bins of confidence weighted by their rows.

    Guo et al. 2017, https://arxiv.org/abs/1706.04599, equation 3, with their 15 bins. `chances` has the shape
    (rows, classes) and sums to 1 by row; `references` are class numbers.
    """
    confidence, right = chances.max(axis=1), chances.argmax(axis=1) == references
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = (abs((right[place == one] - confidence[place == one]).sum()) for one in range(bins))
    return float(sum(gaps) / len(references))
