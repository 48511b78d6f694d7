"""Question answering on BBC News against the best heuristics on names: what the fine-tuned model gains, paired."""

import csv
import re
import subprocess
from collections import Counter
from pathlib import Path

import numpy as np

from hftransfer.core import plugins
from hftransfer.evaluation.scoring import Answers, Scorer
from hftransfer.metrics import load_metric
from hftransfer.samples.bbc_questions import _DATES, _NAME
from hftransfer.tasks import object_array

ROOT = Path(__file__).parent.parent
RUN = ROOT / "runs" / "questions"
RECIPE = "text/bbc_questions-minilm-full.yaml"


def most_frequent(_question: str, context: str) -> str:
    """The most frequent name of the context."""
    return _best(Counter(match.group() for match in _NAME.finditer(context)))


def most_frequent_elsewhere(question: str, context: str) -> str:
    """The most frequent name of the context that the question does not have."""
    return _best(Counter(match.group() for match in _NAME.finditer(context) if match.group() not in question))


def most_frequent_inside(question: str, context: str) -> str:
    """The most frequent name within sentences, not at their start, no date, that shares no word with the question."""
    words = set(re.findall(r"\w+", question.lower()))
    counts: Counter[str] = Counter()
    for sentence in re.split(r"(?<=[.!?]) ", context):
        for match in _NAME.finditer(sentence):
            name = match.group()
            if match.start() and not _DATES.fullmatch(name) and words.isdisjoint(re.findall(r"\w+", name.lower())):
                counts[name] += 1
    return _best(counts)


def _best(counts: "Counter[str]") -> str:
    return counts.most_common(1)[0][0] if counts else ""


def questions() -> bool:
    """The fine-tuned model has more exact matches than each heuristic, with a paired 95 % interval above 0."""
    if not (RUN / "result.json").is_file():
        subprocess.run(["hftransfer", "run", str(ROOT / "recipes" / RECIPE), "--out", str(RUN)], check=True)
    rows = plugins.load("samples", "bbc_questions")().rows()["test"]
    references = object_array([answers["text"] for answers in rows["answers"][:]])
    with (RUN / "predictions" / "test.csv").open(newline="", encoding="utf-8") as file:
        tuned = object_array([row["tuned"] for row in csv.DictReader(file)])
    assert len(tuned) == len(references), "the run is of other rows"
    scorer = Scorer([load_metric("exact_match")], 0.95, 1000, 0)
    heuristics = {it.__name__: it for it in (most_frequent, most_frequent_elsewhere, most_frequent_inside)}
    variants = {"tuned": Answers(tuned, None)}
    for name, heuristic in heuristics.items():
        pairs = zip(rows["question"][:], rows["context"][:], strict=True)
        variants[name] = Answers(object_array([heuristic(*pair) for pair in pairs]), None)
    values = {name: it["exact_match"] for name, it in scorer.resample(variants, references).items()}
    long = np.array([len(context.split()) > 256 for context in rows["context"][:]])
    print(
        f"{'fine-tuned MiniLM':<26} {values['tuned'][0]:.3f}, on {long.sum()} contexts of more than 256 words", end=" "
    )
    print(f"{load_metric('exact_match')(tuned[long], references[long])['exact_match']:.3f}")
    better = True
    for name in heuristics:
        gain = scorer.interval(values["tuned"] - values[name], len(references))
        print(f"{name:<26} {values[name][0]:.3f}, gain {gain.value:.3f} [{gain.low:.3f}, {gain.high:.3f}]")
        better = better and gain.low > 0
    print("more exact matches than every heuristic:", "ok" if better else "NOT REACHED")
    return better
