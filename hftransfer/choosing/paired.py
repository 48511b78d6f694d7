"""Paired differences: what runs answer on the same test rows, held against each other row by row."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hftransfer.core.errors import RecipeError
from hftransfer.core.results import RunResult, Score
from hftransfer.evaluation.scoring import percentile_interval
from hftransfer.metrics import lower_is_better
from hftransfer.reporting.side_by_side import Difference
from hftransfer.runner.collect import ERROR

_RESAMPLES = 2000


TestRows = tuple[tuple[str, ...], np.ndarray]
"""The references of the test rows of a run, and the error of its tuned model on each, shape (rows,)."""


def over_rows(here: Sequence[TestRows], there: Sequence[TestRows], confidence: float) -> Score:
    """How much larger the mean error of the runs `there` is on the same test rows, with a bootstrap of runs and rows.

    Args:
        here: of some runs.
        there: of as many others, each scored on the rows of its counterpart.
        confidence: of the interval.
    """
    gaps = [theirs - ours for (_, ours), (_, theirs) in zip(here, there, strict=True)]
    # Seeds that share their test rows err on the same ones: a row is then drawn for all of them, or for none.
    are_shared = len({references for references, _ in here}) == 1
    rng = np.random.default_rng(0)
    values = [float(np.mean([gap.mean() for gap in gaps]))]
    for _ in range(_RESAMPLES):
        sampled = [gaps[run] for run in rng.integers(len(gaps), size=len(gaps))]
        rows = rng.integers(len(gaps[0]), size=len(gaps[0])) if are_shared else None
        means = [gap[rng.integers(len(gap), size=len(gap)) if rows is None else rows].mean() for gap in sampled]
        values.append(float(np.mean(means)))
    return percentile_interval(values, confidence, len(gaps[0]) if are_shared else sum(map(len, gaps)))


def same_rows(here: Sequence[TestRows], there: Sequence[TestRows]) -> bool:
    """Whether each run has been scored on the test rows of its counterpart, by what is to be found in them."""
    return all(one == other for (one, _), (other, _) in zip(here, there, strict=True))


def test_rows(folder: Path) -> TestRows:
    """The test rows of a run, out of its table of predictions.

    Raises:
        RecipeError: the run's table of predictions is missing, or of an earlier version.
    """
    file = folder / "predictions" / "test.csv"
    try:
        with file.open(encoding="utf-8", newline="") as lines:
            rows = list(csv.DictReader(lines))
        return tuple(row["reference"] for row in rows), np.array([float(row[ERROR]) for row in rows])
    except (OSError, KeyError, ValueError):
        raise RecipeError(f"'{file}' has no errors of rows: run it again (remove '{folder}')") from None


def differences(results: Sequence[RunResult], folders: Sequence[Path]) -> tuple[list[Difference], list[str]]:
    """Of runs that were scored on the same rows, each against the best by the headline metric; else sentences why not.

    The intervals have the confidence of the recipe, divided among the comparisons (Bonferroni).
    """
    groups: dict[tuple[str, str, str], list[int]] = {}
    for place, result in enumerate(results):
        groups.setdefault((result.task, result.headline, result.data.fingerprint), []).append(place)
    found: list[Difference] = []
    lines: list[str] = []
    for (_, headline, _), places in groups.items():
        sign = -1 if lower_is_better(headline) else 1
        best = max(places, key=lambda place: sign * results[place].scores["test"]["tuned"][headline].value)
        confidence = 1 - (1 - results[best].recipe["evaluation"]["confidence"]) / max(1, len(places) - 1)
        for place in (it for it in places if it != best):
            try:
                score = over_rows([test_rows(folders[best])], [test_rows(folders[place])], confidence)
            except RecipeError as error:
                lines.append(f"No paired difference of {results[place].name} to {results[best].name}: {error}.")
                continue
            found.append(Difference(results[place].name, results[best].name, score))
    if len(groups) > 1:
        named = "; ".join(", ".join(results[place].name for place in places) for places in groups.values())
        lines.append(
            "Runs that were scored on different rows, or by another headline metric, have no paired difference: "
            f"{named}. Their intervals alone say how far apart they may be."
        )
    return found, lines
