"""Whether `hftransfer tune` finds better hyper-parameters than those of the recipe, on test rows, over five seeds.

Finished runs and searches are kept in runs/tune, so that a stopped bench goes on where it was. Writes the sections of
docs/tuning.md whose data sets are named. Seeds run at the same time, each on one core.
"""

import math
import statistics
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from _strategies import ONE_CORE, pretrain
from scipy.stats import ttest_rel

from hftransfer.choosing.tune import Tuning
from hftransfer.core.machine import usable_cores
from hftransfer.core.results import RunResult

ROOT = Path(__file__).parent.parent
RUNS = ROOT / "runs" / "tune"
PAGE = ROOT / "docs" / "tuning.md"
_SEEDS, _TRIALS = 5, 12
_PLAIN = ["export=null", "evaluation.baselines=[]"]
_HEAD = """# Tuning

What `hftransfer tune` gains over the hyper-parameters that a recipe has, measured on test rows that no search has seen.
Each seed has training, validation and test rows of its own; recipe and search have the same. `scripts/bench tune`
writes this page, or of some data sets alone: `scripts/bench tune digits`.
"""


@dataclass(frozen=True)
class Case:
    """A recipe with few labels."""

    name: str
    title: str
    recipe: str
    overrides: list[str]
    pretrained: bool = False
    """Whether it starts from the MNIST run."""

    def words(self, seed: int) -> list[str]:
        """The recipe with its overrides."""
        return [str(ROOT / "recipes" / self.recipe), *self.overrides, *_PLAIN, f"seed={seed}"]


CASES = [
    Case(
        "bbc_news",
        "BBC News, 16 labels a class, MiniLM",
        "text/bbc_news-minilm-full.yaml",
        ["data.shots=16", "task.max_length=64", "data.splits={validation: 60, test: 500}"],
    ),
    Case("digits", "Digits, 50 labels a class, a ViT trained on MNIST", "vision/digits-vit_tiny-full.yaml", [], True),
    Case("stamps", "Photographs, 8 labels of each kind, MobileNetV2", "vision/stamps-mobilenet_v2-lp_ft.yaml", []),
]


@dataclass(frozen=True)
class Pair:
    """The recipe and the search of one seed."""

    default: RunResult
    tuned: RunResult
    search: Tuning

    def scores(self) -> tuple[float, float]:
        """Test scores of the recipe and of the search's winner."""
        first, second = (it.scores["test"]["tuned"][it.headline].value for it in (self.default, self.tuned))
        return first, second


def tune(*words: str) -> bool:
    """Measure the data sets of these names, or all, and write their sections; whether none is worse than its recipe.

    With other numbers than those of the page, such as `seeds=1 trials=2`, nothing is written.
    """
    numbers = {"seeds": _SEEDS, "trials": _TRIALS}
    given = dict(word.split("=", 1) for word in words if "=" in word)
    names = [word for word in words if "=" not in word]
    allowed = [case.name for case in CASES]
    if unknown := (set(names) - set(allowed)) | (given.keys() - numbers.keys()):
        raise SystemExit(f"not known: {', '.join(sorted(unknown))}; allowed: {', '.join(allowed)}, seeds=N, trials=N")
    numbers |= {name: int(value) for name, value in given.items()}
    never_worse = True
    for case in [case for case in CASES if not names or case.name in names]:
        if case.pretrained:
            pretrain()
        with ThreadPoolExecutor(usable_cores()) as pool:
            futures = [pool.submit(_pair, case, seed, numbers["trials"]) for seed in range(numbers["seeds"])]
            pairs = [future.result() for future in futures]
        section, is_worse = _section(case, pairs)
        print(section, flush=True)
        if not given:
            _write(case, section)
        never_worse &= not is_worse
    return never_worse


def _pair(case: Case, seed: int, trials: int) -> Pair:
    """Run what is missing of a seed."""
    default, search = RUNS / f"{case.name}-recipe-{seed}", RUNS / f"{case.name}-{trials}-trials-{seed}"
    if not (default / "result.json").is_file():
        _hftransfer("run", *case.words(seed), "--out", str(default), "--resume")
    if not (search / "tune.json").is_file():
        _hftransfer("tune", *case.words(seed), "--trials", str(trials), "--out", str(search))
    found = Tuning.load(search / "tune.json")
    return Pair(RunResult.load(default / "result.json"), RunResult.load(search / "best" / "result.json"), found)


def _hftransfer(*words: str) -> None:
    # Checkpoints of recipes lie in runs/ of the repository.
    subprocess.run(["hftransfer", *words], check=True, env=ONE_CORE, cwd=ROOT)


def _section(case: Case, pairs: Sequence[Pair]) -> tuple[str, bool]:
    """Title, sentence and table of a data set, and whether the search is worse than the recipe."""
    defaults, tuned = zip(*(pair.scores() for pair in pairs), strict=True)
    gains = [second - first for first, second in zip(defaults, tuned, strict=True)]
    low, high = _interval(defaults, tuned)
    minutes = statistics.mean(sum(pair.default.seconds.values()) / 60 for pair in pairs)
    search = statistics.mean(pair.search.minutes for pair in pairs)
    trials = sum(len(pair.search.trials) for pair in pairs)
    pruned = sum(trial.pruned_at is not None for pair in pairs for trial in pair.search.trials)
    rows = [
        ["", "score on test: mean ± deviation", "lowest", "minutes"],
        ["---"] * 4,
        ["the recipe", _mean(defaults), f"{min(defaults):.3f}", f"{minutes:.1f}"],
        ["the winner of the search", _mean(tuned), f"{min(tuned):.3f}", f"{search:.1f}"],
    ]
    gain = f"{statistics.mean(gains):+.3f} {pairs[0].default.headline}"
    if len(pairs) > 1:
        gain += f" [{low:+.3f}, {high:+.3f}] over {len(pairs)} seeds (95 %, paired)"
    sentence = (
        f"{_verdict(low, high)}: {gain}, for {search / minutes:.0f} times the time; {pruned} of {trials} trials were "
        "pruned."
    )
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return f"## {case.title}\n\n{sentence}\n\n{table}\n", high < 0


def _interval(first: Sequence[float], second: Sequence[float]) -> tuple[float, float]:
    """95 % interval of the mean gain by Student's t, paired by seed; not a number for a single seed."""
    gains = {b - a for a, b in zip(first, second, strict=True)}
    if len(gains) == 1 and len(first) > 1:
        # The test of Student needs a deviation.
        return min(gains), max(gains)
    low, high = ttest_rel(second, first).confidence_interval() if len(first) > 1 else (math.nan, math.nan)
    return float(low), float(high)


def _verdict(low: float, high: float) -> str:
    if low > 0:
        return "The search is significantly better than the recipe"
    if high < 0:
        return "The search is significantly worse than the recipe"
    return "One seed decides nothing" if math.isnan(low) else "No significant difference"


def _mean(values: Sequence[float]) -> str:
    deviation = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.3f}{deviation}"


def _write(case: Case, section: str) -> None:
    """Put a section into the page in place of the one of its title, or at the end."""
    sections = PAGE.read_text(encoding="utf-8").split("\n## ")[1:] if PAGE.is_file() else []
    old = {text.partition("\n")[0]: f"## {text.rstrip()}\n" for text in sections}
    PAGE.write_text("\n".join([_HEAD, *(old | {case.title: section}).values()]), encoding="utf-8")
