"""The strategies compared on real samples, by `hftransfer compare`; writes the tables of docs/strategies.md.

A table is a folder of recipes in scripts/strategies; those in its folder `before` are run first, since others start
from them. Finished runs are kept in runs/strategies, so that a stopped benchmark goes on where it was. Several runs go
on at the same time, each on one core: little of a short run is matrix products, so two threads of one run would wait
for each other.
"""

import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from hftransfer.choosing.compare import FILE, Comparison, Row, table
from hftransfer.core.machine import usable_cores

ROOT = Path(__file__).parent.parent
RECIPES = ROOT / "scripts" / "strategies"
RUNS = ROOT / "runs" / "strategies"
PAGE = ROOT / "docs" / "strategies.md"
ONE_CORE = os.environ | {"OMP_NUM_THREADS": "1"}
MNIST = ROOT / "runs" / "mnist_sample-vit_tiny-scratch"
_HEAD = """# The strategies compared

Written by `scripts/bench strategies`, or table by table by `scripts/bench strategies NAME ...`: each is a
[comparison](how-to/compare.md) of the recipes in a folder of `scripts/strategies`, on samples that install with pip. A
seed has its own labels, splits and heads; the score is that of the test split. Runs have one CPU core each; to end in
hours, articles are truncated to 64 or 48 tokens, and no training saves checkpoints or validates on its way.
"""
_PLAIN = ("export=null", "evaluation.baselines=[]", "training.save_strategy=no", "training.eval_strategy=no")
_TEXT = (*_PLAIN, "data.splits={validation: 50, test: 500}", "task.max_length=64")
_SHORT = (*_PLAIN, "data.splits={validation: 50, test: 300}", "task.max_length=48")
_DIGITS = (*_PLAIN, "evaluation.corruptions=[]")
_PHOTOGRAPHS = (*_PLAIN, "data.splits={validation: 24, test: 144}")

Rows = dict[str, Row]
"""Name of a recipe -> its row."""
Claim = tuple[str, bool]
"""A sentence, and whether it holds."""


@dataclass(frozen=True)
class Section:
    """A table: the recipes of a folder, with its title and text."""

    name: str
    """Of the folder."""
    title: str
    text: str
    overrides: Sequence[str]
    """Of all recipes."""
    seeds: int = 5
    claims: Callable[[Rows], list[Claim]] = lambda _: []
    """What the table should show."""
    pretrained: bool = False
    """Whether the recipes start from the MNIST run."""

    def comparison(self) -> Comparison:
        """Run what is missing, and compare."""
        if self.pretrained:
            pretrain()
        recipes, out = RECIPES / self.name, RUNS / self.name
        for recipe in sorted((recipes / "before").glob("*.yaml")):
            for seed in range(self.seeds):
                place = out / "before" / f"{recipe.stem}-seed{seed}"
                _hftransfer("run", recipe, *self.overrides, f"seed={seed}", "--out", place, "--resume")
        how = ("--seeds", self.seeds, "--jobs", usable_cores(), "--out", out)
        _hftransfer("compare", *sorted(recipes.glob("*.yaml")), *self.overrides, *how)
        return Comparison.load(out / FILE)


def _hftransfer(*words: object) -> None:
    # Checkpoints of recipes lie in runs/ of the repository.
    subprocess.run(["hftransfer", *map(str, words)], check=True, env=ONE_CORE, cwd=ROOT)


def _least(name: str, value: float, bound: float) -> Claim:
    return f"{name}: {value:.3f}, at least {bound:.3f}", value >= bound


def _most(name: str, value: float, bound: float) -> Claim:
    return f"{name}: {value:.3f}, at most {bound:.3f}", value <= bound


def _news(rows: Rows) -> list[Claim]:
    best = rows["few_shot"].mean
    return [
        _least("few_shot", best, 0.90),
        _least("few_shot against the linear probe", best, rows["linear_probe"].mean),
    ]


def _digits(rows: Rows) -> list[Claim]:
    return [_least("the best strategy", max(row.mean for row in rows.values()), 0.85)]


def _photographs(rows: Rows) -> list[Claim]:
    return [
        _least("probe of MobileNetV2", rows["mobilenet_v2-linear_probe"].mean, 0.74),
        _least("probe of EfficientNet-Lite0", rows["efficientnet_lite0-linear_probe"].mean, 0.78),
        _least("the best fine-tuned", max(row.mean for name, row in rows.items() if name.endswith("lp_ft")), 0.80),
    ]


def _from_nothing(rows: Rows) -> list[Claim]:
    return [_least("linear_probe over scratch", rows["linear_probe"].mean - rows["scratch"].mean, 0.25)]


def _small(rows: Rows) -> list[Claim]:
    teacher, student, pruned = (rows[name] for name in ("full", "distill", "prune"))
    return [
        _least("distill: times as fast as full", teacher.costs.ms / student.costs.ms, 2.5),
        _most("distill: accuracy below full", teacher.mean - student.mean, 0.03),
        _most("prune: accuracy lost", teacher.mean - pruned.mean, 0.02),
        _most("prune: remaining share of the bytes", pruned.costs.megabytes / teacher.costs.megabytes, 0.99),
        _most("prune: remaining share of the latency", pruned.costs.ms / teacher.costs.ms, 0.99),
    ]


SECTIONS = [
    Section(
        "news",
        "BBC News, 8 labels a class, from MiniLM",
        "Five topics, articles truncated to their first 64 tokens, 500 test articles a seed. Adapters train for 30 "
        "epochs, ia3 for 40; lora trains norms, biases and the pooler alongside its matrices. Which articles are "
        "labelled changes a score more than the method does.",
        _TEXT,
        seeds=10,
        claims=_news,
    ),
    Section(
        "digits",
        "Digits, 5 labels a class, from the MNIST model",
        "A ViT of 0.5 million parameters, trained on MNIST, transferred to digits of other writers and of another "
        "look. Scratch is the same architecture, trained for 200 epochs; the others have the epochs of their strategy.",
        _DIGITS,
        seeds=10,
        claims=_digits,
        pretrained=True,
    ),
    Section(
        "photographs",
        "Photographs of 7 kinds, 8 labels of each, from ImageNet features",
        "The sample `stamps`, 144 test rows a seed. The learning rate of `lp_ft`, 1e-5, was chosen on other seeds of "
        "the same photographs.",
        _PHOTOGRAPHS,
        seeds=10,
        claims=_photographs,
    ),
    Section(
        "from_nothing",
        "Photographs of 7 kinds, 8 labels of each, from nothing",
        "The same labels and test rows as those of the first three seeds above, MobileNetV2 with random weights. It "
        "reads the photographs at 96 pixels, those above at 224, each of them 60 times; its learning rate, 1e-3, was "
        "not tuned.",
        _PHOTOGRAPHS,
        seeds=3,
        claims=_from_nothing,
    ),
    Section(
        "small",
        "BBC News, 64 labels a class: a student of two layers, and a pruned model",
        "The teacher is the whole MiniLM, fine-tuned for 3 epochs; the students have two of its six layers and train "
        "for 200 steps. Articles are truncated to 48 tokens. `prune` takes half of the teacher's feed-forward and "
        "recovers for 3 epochs.",
        _SHORT,
        claims=_small,
    ),
    Section(
        "pretraining",
        "BBC News, 2 labels a class, after continued pretraining",
        "`few_shot` from MiniLM as it is, and from MiniLM after 30 steps of masked language modeling on the training "
        "texts of the same seed, without their labels. Articles are truncated to 48 tokens.",
        _SHORT,
    ),
    *(
        Section(
            name,
            f"Three tasks on one encoder: {what}",
            "Topic, length and tags of news: this task alone for 50 steps of 16 rows, and the three together for 150, "
            "in whose rows topic and length have a fifth each and tags the rest (`temperature: 2`).",
            _PLAIN,
            seeds=3,
        )
        for name, what in (("topic", "topics"), ("length", "lengths"), ("tags", "tags"))
    ),
]


def pretrain() -> None:
    """Make the MNIST run that others start from, unless there is one."""
    if not (MNIST / "result.json").is_file():
        _hftransfer("run", ROOT / "recipes/vision/mnist_sample-vit_tiny-scratch.yaml", "--out", MNIST, "--resume")


def strategies(*names: str) -> bool:
    """Run what is missing of the sections of these names, or of all, and write their tables. Whether all claims hold.

    Tables of other sections stay in the page as they are.
    """
    known = [section.name for section in SECTIONS]
    if unknown := set(names) - set(known):
        raise SystemExit(f"no section {sorted(unknown)}; allowed: {', '.join(known)}")
    all_hold = True
    for section in [it for it in SECTIONS if not names or it.name in names]:
        comparison = section.comparison()
        claims = section.claims({row.label: row for row in comparison.rows})
        _write(section, comparison, claims)
        for line, holds in claims:
            print(f"{line}: {'ok' if holds else 'NOT REACHED'}", flush=True)
            all_hold &= holds
    return all_hold


def _write(section: Section, comparison: Comparison, claims: list[Claim]) -> None:
    """Put a table into the page in place of the one under its title, or at the end."""
    lines = "".join(f"- {line}: **{'yes' if holds else 'NO'}**\n" for line, holds in claims)
    found = table(comparison)
    measured = f"{len(comparison.seeds)} seeds; measured with Transformers {version('transformers')}."
    parts = [
        f"## {section.title}",
        f"{section.text} {measured}",
        *([lines.rstrip()] if lines else []),
        found.markdown(),
        f"{found.title}. {comparison.advice}",
    ]
    written = "\n\n".join(parts) + "\n"
    _, *tables = PAGE.read_text().split("\n## ")
    old = {text.partition("\n")[0]: f"## {text.rstrip()}\n" for text in tables}
    found = old | {section.title: written}
    PAGE.write_text("\n".join([_HEAD, *(found[it.title] for it in SECTIONS if it.title in found)]))
