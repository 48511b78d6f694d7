"""Each bench is a ratio of two commands in one run, on the same rows and machine; exit code 1 below its claim."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _audit import audits
from _curves import curves
from _estimates import estimates
from _export import export, families_alone
from _images import images
from _labels import labels
from _languages import languages
from _next import next_rows
from _peers import peers
from _questions import questions
from _results import results
from _size import size
from _strategies import strategies
from _tune import tune

ROOT = Path(__file__).parent.parent
NO_SAVING = ["training.eval_strategy=no", "training.save_strategy=no", "export=null", "evaluation.baselines=[]"]


def startup() -> bool:
    """`hftransfer --help` takes at most a quarter of the time of importing torch."""
    commands = {"hftransfer --help": ["hftransfer", "--help"], "import torch": [sys.executable, "-c", "import torch"]}
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(6):
        for name, command in commands.items():
            start = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            seconds[name].append(time.perf_counter() - start)
    # The first turn fills the file cache.
    medians = {name: statistics.median(times[1:]) for name, times in seconds.items()}
    for name, median in medians.items():
        print(f"{name:<20} {median:.3f} s")
    return claim("import torch / hftransfer --help", medians["import torch"] / medians["hftransfer --help"], 4)


def check() -> bool:
    """`hftransfer check quickstart` takes at most 1.15 times the CPU seconds of importing Trainer, which it needs."""
    commands = {
        "hftransfer check quickstart": ["hftransfer", "check", "quickstart"],
        "import Trainer": [sys.executable, "-c", "from transformers import Trainer"],
    }
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(6):
        for name, command in commands.items():
            before = os.times()
            subprocess.run(command, check=True, capture_output=True)
            after = os.times()
            used = after.children_user + after.children_system - before.children_user - before.children_system
            seconds[name].append(used)
    medians = {name: statistics.median(times[1:]) for name, times in seconds.items()}
    for name, median in medians.items():
        print(f"{name:<28} {median:.2f} CPU s")
    least = round(1 / 1.15, 2)
    return claim("import Trainer / hftransfer check", medians["import Trainer"] / medians[next(iter(commands))], least)


def bootstrap() -> bool:
    """Accuracy, F1 and paired gains of four variants, 100,000 rows, 10 classes, 1000 resamples: 1 CPU second.

    Against the same by scikit-learn on resampled rows, one after another.
    """
    import numpy as np
    from sklearn.metrics import accuracy_score, f1_score

    from hftransfer.evaluation.scoring import Answers, Scorer
    from hftransfer.metrics import load_metric

    rng, count, resamples = np.random.default_rng(0), 100_000, 1000
    references = rng.integers(0, 10, count)
    predictions = [np.where(rng.random(count) < 0.9, references, rng.integers(0, 10, count)) for _ in range(4)]
    scorer = Scorer([load_metric("accuracy"), load_metric("f1")], 0.95, resamples, 0)

    def ends(values: list[np.ndarray]) -> np.ndarray:
        """The intervals of all variants, then of the gains of the first over the others, shape (7, metrics, 2)."""
        compared = [*values, *(values[0] - other for other in values[1:])]
        scores = [[scorer.interval(metric, count) for metric in of_metrics] for of_metrics in compared]
        return np.array([[(score.low, score.high) for score in of_metrics] for of_metrics in scores])

    start = time.process_time()
    variants = {str(number): Answers(answers, None) for number, answers in enumerate(predictions)}
    found = ends([np.stack([*it.values()]) for it in scorer.resample(variants, references).values()])
    seconds = time.process_time() - start

    start = time.process_time()
    values: list[list[tuple[float, float]]] = [[] for _ in predictions]
    for resample in range(resamples + 1):
        rows = rng.integers(0, count, count) if resample else np.arange(count)
        for scores, answers in zip(values, predictions, strict=True):
            pair = references[rows], answers[rows]
            scores.append((accuracy_score(*pair), f1_score(*pair, average="macro")))
    expected = ends([np.array(it).T for it in values])
    plain_seconds = time.process_time() - start

    difference = np.abs(found - expected).max()
    print(f"{'hftransfer':<20} {seconds:7.2f} CPU s")
    print(f"{'resampled rows':<20} {plain_seconds:7.2f} CPU s; ends of intervals differ by {difference:.5f} at most")
    claims = [
        claim("resampled rows / hftransfer", plain_seconds / seconds, 100),
        claim("1 CPU second / hftransfer", 1 / seconds, 1),
        claim("0.001 / largest difference", 0.001 / difference, 1),
    ]
    return all(claims)


def probe() -> bool:
    """20 epochs of a linear probe on kept features against the same training with the frozen model run anew."""
    recipe = ROOT / "recipes/text/bbc_news-minilm-linear_probe.yaml"
    shared = ["training.num_train_epochs=20", "data.splits.test=100", "data.splits.validation=60", "export=null"]
    results = {}
    for name, keep in (("kept features", "true"), ("frozen model", "false")):
        results[name] = run(
            recipe, [*shared, "strategy.solver=trainer", f"strategy.cache_features={keep}", "evaluation.baselines=[]"]
        )
        print(f"{name:<20} {results[name]['seconds']['train tuned']:7.1f} s, {accuracy(results[name])}")
    slow, fast = (results[name]["seconds"]["train tuned"] for name in ("frozen model", "kept features"))
    return claim("frozen model / kept features", slow / fast, 10)


def ranks() -> bool:
    """Rows per second of a training in two processes of one core each against one process of one core."""
    recipe = str(ROOT / "recipes/text/bbc_news-minilm-full.yaml")
    steps = [*NO_SAVING, "training={max_steps: 30, per_device_train_batch_size: 16}", "task.max_length=128"]
    steps += ["data.splits={validation: 60, test: 100}"]
    # A core for each process.
    pinned = ["bash", "-c", 'exec taskset -c "${LOCAL_RANK:-0}" hftransfer "$@"', "hftransfer", "run", recipe, *steps]
    launchers = {1: [], 2: ["torchrun", "--nproc_per_node", "2", "--no-python"]}
    speed = {}
    for count, launcher in launchers.items():
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "run"
            subprocess.run(
                [*launcher, *pinned, "--out", str(out)], check=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
            )
            seconds = json.loads((out / "result.json").read_text())["seconds"]["train tuned"]
            speed[count] = 16 * 30 * count / seconds
        print(f"{count} process{'es' * (count > 1)}: {speed[count]:.2f} rows/s", flush=True)
    return claim("2 processes / 1 process", speed[2] / speed[1], 1.7)


def run(recipe: Path, overrides: list[str]) -> dict:
    """The result of a run in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        subprocess.run(["hftransfer", "run", str(recipe), *overrides, "--out", str(out)], check=True)
        return json.loads((out / "result.json").read_text())


def accuracy(result: dict) -> str:
    """Accuracy on test, with its interval."""
    score = result["scores"]["test"]["tuned"]["accuracy"]
    return f"accuracy {score['value']:.3f} [{score['low']:.3f}, {score['high']:.3f}]"


def claim(what: str, ratio: float, least: float) -> bool:
    """Say a ratio and whether it is as claimed."""
    print(f"{what}: {ratio:.2f} (claimed: at least {least}) {'ok' if ratio >= least else 'NOT REACHED'}")
    return ratio >= least


def rank() -> bool:
    """The measures of `hftransfer rank` against fine-tuned checkpoints; writes docs/ranking.md."""
    from _rank import rank as compare

    return compare()


BENCHES = {
    "audit": audits,
    "startup": startup,
    "check": check,
    "bootstrap": bootstrap,
    "probe": probe,
    "ranks": ranks,
    "curves": curves,
    "estimate": estimates,
    "next": next_rows,
    "strategies": strategies,
    "tune": tune,
    "export": export,
    "families": families_alone,
    "results": results,
    "questions": questions,
    "labels": labels,
    "languages": languages,
    "peers": peers,
    "rank": rank,
    "size": size,
    "images": lambda: images(claim),
}

if __name__ == "__main__":
    if sys.argv[1:2] in (["peers"], ["results"], ["strategies"], ["tune"]):
        sys.exit(0 if BENCHES[sys.argv[1]](*sys.argv[2:]) else 1)
    elif len(sys.argv) != 2 or sys.argv[1] not in BENCHES:
        sys.exit(f"usage: scripts/bench {' | '.join(BENCHES)} [NAME ...]")
    else:
        sys.exit(0 if BENCHES[sys.argv[1]]() else 1)
