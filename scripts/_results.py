"""The tables of README.md and docs/results.md, from runs of the packaged recipes; by `scripts/bench results`.

A run that is there is not run again, and one that was stopped is resumed, so that a stopped bench goes on where it was.
Each row is written as soon as its run is there. A row without a run keeps the line that the page has, with the mark of
those that were filled in by hand, or says that it was not run.
"""

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from hftransfer.core.files import write_text
from hftransfer.core.results import RunResult, Score
from hftransfer.metrics import lower_is_better
from hftransfer.reporting.tables import Table, amount, interval, number

ROOT = Path(__file__).parent.parent
RUNS = ROOT / "runs"
README, PAGE = ROOT / "README.md", ROOT / "docs" / "results.md"
BY_HAND = "†"
"""Marks, on the page, what was filled in from a single run, maybe of an earlier version."""


@dataclass(frozen=True)
class Row:
    """A recipe whose scores a table shows."""

    recipe: str
    """Its path in recipes/, without the ending."""
    unit: str
    """What a training row is."""
    overrides: tuple[str, ...] = ()
    in_readme: bool = False

    @property
    def name(self) -> str:
        """The name of the run, and of its folder in runs/: recipes that build on another find it there."""
        return "-".join([Path(self.recipe).name, *(re.sub(r"[^a-z0-9]+", "-", text) for text in self.overrides)])

    @property
    def command(self) -> str:
        """What a user enters after `hftransfer run`."""
        return " ".join([Path(self.recipe).name, *self.overrides])

    @property
    def folder(self) -> Path:
        """Of the run."""
        return RUNS / self.name

    def result(self) -> RunResult | None:
        """The record of the run, if it has ended."""
        record = self.folder / "result.json"
        return RunResult.load(record) if record.is_file() else None

    def run(self) -> None:
        """Run the recipe, or continue a run that was stopped."""
        command = ["hftransfer", "run", str(ROOT / "recipes" / f"{self.recipe}.yaml"), *self.overrides]
        command += ["--out", str(self.folder), "--resume"]
        # 3: a variant was rejected, which the table marks.
        code = subprocess.run(command, check=False, cwd=ROOT).returncode
        assert code in (0, 3), f"{self.command}: exit code {code}; deleting {self.folder}.partial starts it again"

    def line(self, page: str) -> str:
        """Its line of the table: of the run, else the one that the page has."""
        result = self.result()
        if result is not None:
            return _markdown(_cells(self, result))
        # The command, and what was written by hand after it.
        old = re.search(rf"(?m)^\| {re.escape(self.command)}(,.*?)?( {BY_HAND})? \|.*\|$", page)
        return old[0] if old else _markdown((self.command, "", "", "", "", "not run", "", "", ""))


PRETRAINED = [
    Row("quickstart", "articles", in_readme=True),
    Row("text/bbc_news-minilm-full", "articles"),
    Row("text/bbc_news-minilm-linear_probe", "articles"),
    Row("text/bbc_tags-minilm-full", "sentences"),
    Row("text/clothing_reviews-minilm-full", "reviews", in_readme=True),
    Row("text/clothing_reviews-minilm-full", "reviews", ("seed=1", "export=null")),
    Row("text/movielens-minilm-full", "users"),
    Row("vision-quickstart", "photographs", in_readme=True),
    Row("vision/stamps-mobilenet_v2-lp_ft", "photographs"),
    Row("vision/stamps-mobilenet_v2-few_shot", "photographs"),
    Row("vision/stamps-efficientnet_lite0-linear_probe", "photographs"),
    Row("vision/stamps-efficientnet_lite0-gradual_unfreeze", "photographs"),
    Row("vision/stamp_scenes-mobilenet_v2-full", "scenes", in_readme=True),
    Row("vision/road_signs-mobilenet_v2-lp_ft", "views"),
    Row("speech-quickstart", "words", in_readme=True),
    Row("speech/asterisk_prompts-whisper_tiny_en-full", "recordings", in_readme=True),
    Row("speech/asterisk_topics-whisper_tiny_en-full", "prompts"),
    Row("speech/spoken_languages-whisper_tiny_en-linear_probe", "sentences"),
    Row("speech/speech_in_noise-whisper_tiny_en-full", "clips of 8 s"),
    Row("speech/speech_in_noise-whisper_tiny_en-linear_probe", "clips of 8 s"),
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
        Row("text/bbc_titles-minilm-full", "titles and articles"),
        Row("text/bbc_news-minilm-anomaly", "articles"),
        Row("vision/textile_defects-mobilenet_v2-anomaly_global", "images"),
        Row("vision/textile_defects-mobilenet_v2-anomaly_local", "images"),
        Row("text/shuttle-minilm-anomaly", "rows of numbers"),
    ],
    "Verification": [
        Row("vision/stamp_views-mobilenet_v2-last_layers", "views"),
        Row("speech/recorded_voices-whisper_tiny_en-full", "recordings"),
        Row("speech/espeak_words-whisper_tiny_en-full", "synthetic words"),
    ],
    "Questions made from texts": [Row("text/bbc_questions-minilm-full", "questions")],
    "Tiny models": TINY,
}
HEAD = ("recipe", "training rows", "metric", "scratch", "best baseline", "tuned", "gain", "int8", "minutes")


def results(*names: str) -> bool:
    """Run what is missing, of the recipes with one of the names if there are any, and write the tables.

    Returns whether no export of these recipes was rejected.
    """
    commands = [row.command for rows in SECTIONS.values() for row in rows]
    for name in names:
        if not any(name in command for command in commands):
            sys.exit(f"no row of the tables is made by '{name}'; there are {', '.join(commands)}")
    reasons: list[str] = []
    for title, rows in SECTIONS.items():
        for row in rows:
            if names and not any(name in row.command for name in names):
                continue
            if row.result() is None:
                row.run()
            _write(title, rows)
            result = row.result()
            assert result is not None
            reasons += [f"{row.name}: {reason}" for reason in result.rejected().values()]
    print("\n".join(reasons))
    return not reasons


def _write(title: str, rows: list[Row]) -> None:
    """The table of a section, with the rows that have been run, and what README shows of it."""
    page = PAGE.read_text(encoding="utf-8")
    lines = {row: row.line(page) for row in rows}
    _put(PAGE, title, list(lines.values()))
    if shown := [line for row, line in lines.items() if row.in_readme]:
        _put(README, "Results", shown)


def _markdown(cells: tuple[str, ...]) -> str:
    """A line of a table."""
    return Table("", HEAD, [cells]).markdown().splitlines()[-1]


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
    return interval(gain) + (" worse" if gain.high < 0 else "" if gain.low > 0 else " n.s.")


def _int8(result: RunResult, scores: dict[str, Score]) -> str:
    """The score of the quantized variant; marked if it was rejected."""
    name = next((name for name in result.exports if "int8" in name), None)
    if name is None:
        return ""
    return number(scores[name].value) + (" (rejected)" if name in result.rejected() else "")


def _put(page: Path, title: str, lines: list[str]) -> None:
    """Put a table in the place of the one under a heading; a page without the heading gets it at its end."""
    table = "\n".join([*Table("", HEAD, []).markdown().splitlines(), *lines])
    before, heading, rest = page.read_text(encoding="utf-8").partition(f"## {title}\n")
    new, count = re.subn(r"(?m)^\|.*\n(?:\|.*\n?)+", lambda _: table + "\n", rest, count=1)
    text = before + heading + new if count else f"{before.rstrip()}\n\n## {title}\n\n{table}\n"
    write_text(page, text)
