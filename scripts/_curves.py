"""Whether the intervals of `hftransfer curve` hold: curves of few labels, then runs with four times as many.

Finished runs are kept in runs/curves, so that a stopped bench goes on where it was. Writes the table of
docs/how-to/labels.md.
"""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from hftransfer.choosing.curve import Curves
from hftransfer.core.results import RunResult

ROOT = Path(__file__).parent.parent
RUNS = ROOT / "runs" / "curves"
PAGE = ROOT / "docs" / "how-to" / "labels.md"
_SEEDS = 3
_MARK = "<!-- scripts/bench curves writes what follows -->\n"
_PLAIN = ["export=null", "evaluation.baselines=[]", "training.save_strategy=no"]


@dataclass(frozen=True)
class Case:
    """A curve of three numbers of labels a class."""

    name: str
    recipe: str
    overrides: list[str]
    shots: tuple[int, int, int]


CASES = [
    Case(
        "BBC News, linear probe",
        "text/bbc_news-minilm-linear_probe.yaml",
        ["task.max_length=64", "data.splits={validation: 40, test: 300}"],
        (8, 16, 32),
    ),
    Case(
        "digits, ResNet from nothing",
        "vision/digits-resnet_tiny-scratch.yaml",
        ["training.num_train_epochs=20"],
        (7, 14, 28),
    ),
    Case(
        "stamps, linear probe",
        "vision/stamps-mobilenet_v2-linear_probe.yaml",
        ["data.splits={validation: 24, test: 110}"],
        (1, 2, 4),
    ),
    Case(
        "clothing reviews, linear probe",
        "text/clothing_reviews-minilm-full.yaml",
        ["strategy=linear_probe", "training={}", "data.splits={validation: 60, test: 300}"],
        (16, 32, 64),
    ),
    Case(
        "BBC News, fine-tuned",
        "text/bbc_news-minilm-full.yaml",
        ["task.max_length=48", "data.splits={validation: 40, test: 300}", "training.num_train_epochs=4"],
        (4, 8, 16),
    ),
]


def curves() -> bool:
    """Run what is missing, write the table, and return whether the intervals hold in nine of ten runs."""
    lines, held = [], []
    for case in CASES:
        recipe, out = str(ROOT / "recipes" / case.recipe), RUNS / case.recipe.rpartition("/")[2].removesuffix(".yaml")
        words = [recipe, *case.overrides, *_PLAIN, "--out", str(out), "--seeds", str(_SEEDS)]
        _hftransfer("curve", *words, "--labels", *map(str, case.shots))
        (curve,) = Curves.model_validate_json((out / "curve.json").read_text()).curves
        ahead, expected = list(curve.forecast.items())[-1]
        scores = [_measured(case, recipe, out, seed) for seed in range(_SEEDS)]
        inside = sum(expected.low <= score <= expected.high for score in scores)
        held += [inside, len(scores) - inside]
        measured = ", ".join(f"{score:.3f}" for score in scores)
        few = " / ".join(f"{sum(point.scores) / len(point.scores):.3f}" for point in curve.points)
        sizes = " / ".join(f"{round(point.labels)}" for point in curve.points)
        lines.append(
            f"| {case.name} | {sizes} | {few} | {ahead} | {expected.value:.3f} "
            f"[{expected.low:.3f}, {expected.high:.3f}] | {measured} | {inside} of {len(scores)} |"
        )
    inside, runs = sum(held[::2]), sum(held)
    head = (
        "| curve | labels | mean scores | four times as many | expected of one run | measured | inside |\n"
        "| --- | --- | --- | --- | --- | --- | --- |\n"
    )
    text = PAGE.read_text().partition(_MARK)[0]
    found = f"\n{inside} of {runs} runs lie within their intervals.\n"
    PAGE.write_text(text + _MARK + "\n" + head + "\n".join(lines) + "\n" + found)
    print(f"curves: {inside} of {runs} runs within their intervals")
    return inside >= 0.9 * runs


def _measured(case: Case, recipe: str, out: Path, seed: int) -> float:
    """The score with four times the labels."""
    run = out / f"ahead-seed{seed}"
    if not (run / "result.json").is_file():
        words = [*case.overrides, *_PLAIN, f"data.shots={4 * case.shots[-1]}", f"seed={seed}"]
        _hftransfer("run", recipe, *words, "--out", str(run), "--overwrite")
    result = RunResult.load(run / "result.json")
    return result.scores["test"]["tuned"][result.headline].value


def _hftransfer(*words: str) -> None:
    subprocess.run(["hftransfer", *words], check=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
