"""`hftransfer rank`: which checkpoint to fine-tune, by frozen features of a few training rows, then by short trainings.

No test row is read by any model: what is ranked is still to be scored.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from hftransfer.choosing.candidates import Candidate, candidates, licence
from hftransfer.choosing.frozen import Extraction, RankingRows, extractions, ranking_rows
from hftransfer.choosing.measures import MEASURES, Compared, compare, is_separable
from hftransfer.choosing.ranking import FineTuned, RankedCheckpoint, Ranking
from hftransfer.choosing.ranking_text import options, page, verdict
from hftransfer.core import machine, ranks
from hftransfer.core.console import report, silence_transformers
from hftransfer.core.errors import RecipeError
from hftransfer.core.files import Arrays, write_bytes, write_text
from hftransfer.core.paths import is_file
from hftransfer.metrics import lower_is_better
from hftransfer.recipe.schema import Recipe
from hftransfer.reporting.choice import pareto_front, pareto_plot
from hftransfer.runner.specs import with_defaults

ROWS = 500
"""Training rows of a ranking, unless it is asked for others."""
_RECORD, _PLOT, _PAGE = "result.json", "pareto.png", "rank.html"
_FEATURES, _FINE_TUNING = "features", "fine-tuning"


def rank(recipe: Recipe, names: Sequence[str], out: Path, *, rows: int = ROWS, minutes: float | None = None) -> Ranking:
    """Rank checkpoints on training rows of a recipe; the record and the plot lie in `out`.

    Features and trainings that are there already are not computed again, so that the same call continues an
    interrupted one.

    Args:
        recipe: its rows, metric, seed and training; its own checkpoint is one of the candidates only if it is named.
        names: of the checkpoints, as `model.id` takes them.
        out: the directory.
        rows: at most so many training rows are read, every class in proportion.
        minutes: for the whole call; with it, checkpoints that are not separable from the best are fine-tuned.

    Raises:
        HFTransferError: in a sentence, a mistake in the recipe, the rows, a checkpoint or the place.
    """
    start = time.monotonic()
    _check(out, rows, minutes)
    found = candidates(names, recipe.model)
    sample = ranking_rows(recipe, rows)
    measured = _measured(extractions(sample, found, recipe, out / _FEATURES))
    evaluation = recipe.evaluation
    # Of equal probes the first one is the best.
    ordered = dict(sorted(measured.items(), key=lambda item: -float(item[1]["log_me"][0])))
    compared = compare(sample, ordered, evaluation.confidence, evaluation.resamples)
    checkpoints = _ranked(sample, found, measured, compared)
    warnings: list[str] = []
    fine_tuned: list[FineTuned] = []
    if minutes is not None:
        from hftransfer.choosing.halving import Halving

        survivors, milliseconds = _survivors(found, checkpoints), {it.name: it.milliseconds for it in checkpoints}
        halving = Halving(recipe, sample, survivors, out / _FINE_TUNING, minutes, start, milliseconds)
        fine_tuned, warnings = halving.run(), halving.warnings
    ranking = Ranking(
        recipe=with_defaults(recipe),
        task=sample.task.name,
        headline=sample.headline,
        rows=len(sample.references),
        checkpoints=checkpoints,
        fine_tuned=fine_tuned,
        verdict=verdict(checkpoints, fine_tuned, sample.headline, len(sample.references), len(sample.validation)),
        warnings=warnings,
        seconds=time.monotonic() - start,
        hardware=machine.hardware(),
        versions=machine.versions(),
    )
    plot = pareto_plot(options(ranking), sample.headline, lower_is_better=lower_is_better(sample.headline))
    write_bytes(out / _PLOT, plot.png())
    write_text(out / _PAGE, page(ranking, out.name, plot))
    ranking.save(out / _RECORD)
    return ranking


def _check(out: Path, rows: int, minutes: float | None) -> None:
    """Refuse what cannot be done before anything is read."""
    if ranks.total() > 1:
        raise RecipeError("rank runs in one process: call it without torchrun or accelerate launch")
    if not 10 <= rows <= 10**6:
        raise RecipeError(f"--rows: at least 10 and at most 1,000,000, got {rows}")
    if minutes is not None and not 0 < minutes <= 10**5:
        raise RecipeError(f"--minutes: more than 0 and at most 100,000, got {minutes:g}")
    if not out.name or (out.exists() and not out.is_dir()):
        raise RecipeError(f"--out: '{out}' is not the name of a directory; give a new one, such as runs/ranking")
    if is_file(out / _RECORD):
        Ranking.load(out / _RECORD)
    elif out.is_dir() and any(out.iterdir()) and not (out / _FEATURES).is_dir():
        raise RecipeError(f"'{out}' exists and is no ranking; --out chooses another place")


def _measured(wanted: Sequence[Extraction]) -> dict[str, Arrays]:
    """Name -> measures of each checkpoint; all that are not cached are checked before the first one is read."""
    missing = [it for it in wanted if not it.is_cached]
    if missing:
        # Heads that are new are no news here.
        silence_transformers()
    for it in missing:
        it.check()
    wanted[0].folder.mkdir(parents=True, exist_ok=True)
    left = {it.candidate.name: max(1, it.candidate.bytes()) for it in missing}
    start, total, found = time.monotonic(), sum(left.values()), {}
    for it in wanted:
        name = it.candidate.name
        found[name] = it.measures()
        if left.pop(name, None) is not None:
            done, spent = total - sum(left.values()), time.monotonic() - start
            remaining = f", about {spent * (total - done) / done:.0f} s left" if left else ""
            report(f"rank: {len(missing) - len(left)} of {len(missing)} checkpoints in {spent:.0f} s{remaining}")
    return found


def _ranked(
    rows: RankingRows, found: Sequence[Candidate], measured: Mapping[str, Arrays], compared: Mapping[str, Compared]
) -> list[RankedCheckpoint]:
    """The checkpoints in the order of their probes, of equal ones by LogME."""
    sign = -1 if lower_is_better(rows.headline) else 1
    checkpoints = [
        RankedCheckpoint(
            name=it.name,
            measures={measure: scores[it.name] for measure, (scores, _) in compared.items()},
            difference={measure: gaps[it.name] for measure, (_, gaps) in compared.items()},
            separable={measure: is_separable(gaps[it.name]) for measure, (_, gaps) in compared.items()},
            pooling=str(measured[it.name]["pooling"]),
            parameters=int(measured[it.name]["parameters"]),
            bytes=it.bytes(),
            milliseconds=float(measured[it.name]["milliseconds"]),
            license=licence(it),
        )
        for it in found
    ]
    first = MEASURES[0]

    def quality(it: RankedCheckpoint) -> tuple[float, float]:
        return sign * it.measures[first].value, it.measures["log_me"].value

    front = pareto_front([(it.milliseconds, sign * it.measures[first].value) for it in checkpoints])
    on_front = {checkpoints[place].name for place in front}
    ordered = sorted(checkpoints, key=quality, reverse=True)
    return [it.model_copy(update={"pareto": it.name in on_front}) for it in ordered]


def _survivors(found: Sequence[Candidate], checkpoints: Sequence[RankedCheckpoint]) -> list[Candidate]:
    """Those that the probe cannot separate from the best, the best two at least."""
    by_name = {it.name: it for it in found}
    return [by_name[it.name] for place, it in enumerate(checkpoints) if place < 2 or not it.separable[MEASURES[0]]]
