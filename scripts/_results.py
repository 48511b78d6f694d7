"""The tables of README.md and docs/results.md, from runs of the packaged recipes; by `scripts/bench results`.

A run that is there is not run again, so that a stopped bench goes on where it was.
"""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from hftransfer.core.files import write_text
from hftransfer.core.results import RunResult, Score
from hftransfer.metrics import lower_is_better
from hftransfer.reporting.tables import Table, amount, interval, number

ROOT = Path(__file__).parent.parent
RUNS = ROOT / "runs"
README, PAGE = ROOT / "README.md", ROOT / "docs" / "results.md"


@dataclass(frozen=True)
class Row:
    """A recipe whose scores a table shows."""

    recipe: str
    """Its path in recipes/, without the ending."""
    unit: str
    """What a training row is."""
    overrides: tuple[str, ...] = ()
    in_readme: bool = True

    @property
    def name(self) -> str:
        """The name of the run, and of its folder in runs/: recipes that build on another find it there."""
        return "-".join([Path(self.recipe).name, *(re.sub(r"[^a-z0-9]+", "-", text) for text in self.overrides)])

    @property
    def command(self) -> str:
        """What a user enters after `hftransfer run`."""
        return " ".join([Path(self.recipe).name, *self.overrides])

    def result(self) -> RunResult:
        """The record of the run; runs the recipe if there is none."""
        record = RUNS / self.name / "result.json"
        if not record.is_file():
            recipe = ROOT / "recipes" / f"{self.recipe}.yaml"
            command = ["hftransfer", "run", str(recipe), *self.overrides, "--out", str(record.parent), "--overwrite"]
            # 3: a variant was rejected, which the table marks.
            code = subprocess.run(command, check=False, cwd=ROOT).returncode
            assert code in (0, 3), code
        return RunResult.load(record)


PRETRAINED = [
    Row("quickstart", "articles"),
    Row("text/bbc_news-minilm-full", "articles"),
    Row("text/bbc_news-minilm-linear_probe", "articles", in_readme=False),
    Row("text/bbc_tags-minilm-full", "sentences"),
    Row("text/clothing_reviews-minilm-full", "reviews"),
    Row("text/movielens-minilm-full", "users", in_readme=False),
    Row("vision-quickstart", "photographs"),
    Row("vision/stamps-mobilenet_v2-lp_ft", "photographs"),
    Row("vision/stamps-mobilenet_v2-few_shot", "photographs", in_readme=False),
    Row("vision/stamps-efficientnet_lite0-linear_probe", "photographs", in_readme=False),
    Row("vision/stamps-efficientnet_lite0-gradual_unfreeze", "photographs"),
    Row("vision/stamp_scenes-mobilenet_v2-full", "scenes"),
    Row("vision/road_signs-mobilenet_v2-lp_ft", "views", in_readme=False),
    Row("speech-quickstart", "words"),
    Row("speech/asterisk_prompts-whisper_tiny_en-full", "recordings"),
    Row("speech/asterisk_topics-whisper_tiny_en-full", "prompts", in_readme=False),
    Row("speech/spoken_languages-whisper_tiny_en-linear_probe", "sentences", in_readme=False),
    Row("speech/speech_in_noise-whisper_tiny_en-full", "clips of 8 s", in_readme=False),
    Row("speech/speech_in_noise-whisper_tiny_en-linear_probe", "clips of 8 s", in_readme=False),
]
"""Recipes of checkpoints that others have trained, on real data."""
TINY = [
    Row("vision/mnist_sample-vit_tiny-scratch", "images"),
    Row("vision/digits-vit_tiny-full", "images"),
    Row("vision/digits-vit_tiny-full", "images", ("strategy.name=lora",)),
    Row("vision/digit_scenes-yolos_tiny-full", "scenes"),
    Row("vision/digit_scenes-segformer_tiny-scratch", "scenes"),
    Row("vision/digit_scenes-clip_tiny-scratch", "scenes"),
    Row("vision/digits-clip_tiny-full", "images"),
    Row("vision/rendered_lines-trocr_tiny-scratch", "lines"),
    Row("speech/asterisk_prompts-speecht5_tiny-scratch", "recordings"),
    Row("text/django_messages-t5_tiny-scratch", "pairs"),
    Row("speech/espeak_digits-wav2vec2_tiny-scratch", "recordings"),
    Row("speech/espeak_digits-whisper_tiny-scratch", "recordings"),
    Row("speech/espeak_words-ast_tiny-scratch", "recordings"),
    Row("speech/asterisk_prompts-ast_tiny-full", "recordings"),
]
"""Recipes of small models that begin with random weights here, or with the weights of another such run."""
SECTIONS = {
    "Pretrained checkpoints, real data": PRETRAINED,
    "Search and anomalies": [
        Row("text/bbc_titles-minilm-full", "titles and articles", in_readme=False),
        Row("text/bbc_news-minilm-anomaly", "articles", in_readme=False),
        Row("vision/textile_defects-mobilenet_v2-anomaly_global", "images", in_readme=False),
        Row("vision/textile_defects-mobilenet_v2-anomaly_local", "images", in_readme=False),
        Row("text/shuttle-minilm-anomaly", "rows of numbers", in_readme=False),
    ],
    "Verification": [
        Row("vision/stamp_views-mobilenet_v2-last_layers", "views", in_readme=False),
        Row("speech/recorded_voices-whisper_tiny_en-full", "recordings", in_readme=False),
        Row("speech/espeak_words-whisper_tiny_en-full", "synthetic words", in_readme=False),
    ],
    "Questions made from texts": [Row("text/bbc_questions-minilm-full", "questions")],
    "Tiny models": TINY,
}
HEAD = ("recipe", "training rows", "metric", "scratch", "best baseline", "tuned", "gain", "int8", "minutes")


def results() -> bool:
    """Run what is missing, write each table when its runs are there, and say whether no export was rejected."""
    reasons: dict[str, str] = {}
    for title, rows in SECTIONS.items():
        found = {row: row.result() for row in rows}
        _put(PAGE, title, _table(rows, found))
        if rows is PRETRAINED:
            _put(README, "Results", _table([row for row in rows if row.in_readme], found))
        reasons |= {row.name: reason for row, result in found.items() for reason in result.rejected().values()}
    for name, reason in reasons.items():
        print(f"{name}: {reason}")
    return not reasons


def _table(rows: list[Row], found: dict[Row, RunResult]) -> Table:
    return Table("", HEAD, [_cells(row, found[row]) for row in rows])


def _cells(row: Row, result: RunResult) -> tuple[str, ...]:
    scores = {name: of[result.headline] for name, of in result.scores["test"].items() if result.headline in of}
    strongest = _strongest(result)
    direction = " (lower is better)" if lower_is_better(result.headline) else ""
    return (
        row.command,
        f"{result.data.rows['train']:,} {row.unit}",
        result.headline + direction,
        number(scores["scratch"].value) if "scratch" in scores else "",
        f"{strongest} {number(scores[strongest].value)}" if strongest else "",
        interval(scores["tuned"]),
        _gain(result),
        _int8(result, scores),
        amount(sum(result.seconds.values()) / 60),
    )


def _strongest(result: RunResult) -> str | None:
    """The baseline over which the tuned model gains least; scratch has a column of its own."""
    cheap = [name for name in result.transfer_gain if name != "scratch"]
    return min(cheap, key=lambda name: result.transfer_gain[name].value, default=None)


def _gain(result: RunResult) -> str:
    """Over the baseline, scratch included, over which the model gains least; marked where it is not significant."""
    if not result.transfer_gain:
        return ""
    gain = min(result.transfer_gain.values(), key=lambda gain: gain.value)
    return interval(gain) + ("" if gain.low > 0 else " n.s.")


def _int8(result: RunResult, scores: dict[str, Score]) -> str:
    """The score of the quantized variant; marked if it was rejected."""
    name = next((name for name in result.exports if "int8" in name), None)
    if name is None:
        return ""
    return number(scores[name].value) + (" (rejected)" if name in result.rejected() else "")


def _put(page: Path, title: str, table: Table) -> None:
    """Put a table in the place of the one under a heading; a page without the heading gets it at its end."""
    before, heading, rest = page.read_text(encoding="utf-8").partition(f"## {title}\n")
    new, count = re.subn(r"(?m)^\|.*\n(?:\|.*\n?)+", lambda _: table.markdown() + "\n", rest, count=1)
    text = before + heading + new if count else f"{before.rstrip()}\n\n## {title}\n\n{table.markdown()}\n"
    write_text(page, text)
