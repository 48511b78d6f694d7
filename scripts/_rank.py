"""How often `hftransfer rank` is right: its measures against fine-tuned checkpoints; writes docs/ranking.md.

What was computed is cached below runs/rank, so that a stopped bench can be continued.
"""

import json
import os
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.stats import kendalltau

from hftransfer import api
from hftransfer.choosing.candidates import candidates
from hftransfer.choosing.frozen import ranking_rows
from hftransfer.choosing.halving import Halving
from hftransfer.choosing.records import FineTuned, Ranking
from hftransfer.models.checkpoint import find_checkpoint

ROOT = Path(__file__).parent.parent
RUNS = ROOT / "runs" / "rank"
PAGE = ROOT / "docs" / "ranking.md"
MEASURES = {"probe": "probe", "knn": "k-NN", "log_me": "LogME", "h_score": "H-score"}
RANDOM = "random weights"


@dataclass(frozen=True)
class Set:
    """Rows, candidates and the fine-tuning that they are compared with."""

    title: str
    recipe: str
    overrides: list[str]
    steps: int
    names: dict[str, str] = field(default_factory=dict)
    """Label -> checkpoint."""

    @property
    def folder(self) -> Path:
        """Of its ranking."""
        return RUNS / self.title.lower().replace(" ", "-").replace(":", "")


def _text(layers: tuple[int, ...] = (6, 3, 1)) -> dict[str, str]:
    """MiniLM, its first blocks alone, and random weights of its config."""
    names = {"MiniLM": "sample:minilm"}
    names |= {f"MiniLM, first {number} of 6 blocks": _made("minilm", number) for number in layers if number < 6}
    return names | {RANDOM: _made("minilm", None)}


def _images() -> dict[str, str]:
    samples = {"MobileNetV2": "mobilenet_v2", "EfficientNet-Lite0": "efficientnet_lite0"}
    names = {label: f"sample:{name}" for label, name in samples.items()}
    return names | {f"{RANDOM}, {label}": _made(name, None) for label, name in samples.items()}


def _sounds() -> dict[str, str]:
    names = {"Whisper tiny": "sample:whisper_tiny_en"}
    names |= {f"Whisper tiny, first {number} of 4 blocks": _made("whisper_tiny_en", number) for number in (2, 1)}
    return names | {RANDOM: _made("whisper_tiny_en", None)}


def _made(sample: str, layers: int | None) -> str:
    """A checkpoint made of a sample: its first blocks alone, or, without a number, random weights."""
    import torch
    import transformers

    source, folder = Path(find_checkpoint(f"sample:{sample}").path), RUNS / "checkpoints" / f"{sample}-{layers}"
    if folder.is_dir():
        return str(folder)
    speech = sample.startswith("whisper")
    config = transformers.AutoConfig.from_pretrained(source)
    auto = transformers.AutoModelForAudioClassification if speech else transformers.AutoModel
    torch.manual_seed(0)
    if layers is None:
        model = auto.from_config(config)
    else:
        model = auto.from_pretrained(source, **{"encoder_layers" if speech else "num_hidden_layers": layers})
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    model.save_pretrained(partial)
    for file in source.iterdir():
        if file.is_dir() or (file.suffix in (".json", ".txt") and not (partial / file.name).exists()):
            (shutil.copytree if file.is_dir() else shutil.copy)(file, partial / file.name)
    partial.rename(folder)
    return str(folder)


FULL = ["strategy=full", "training={learning_rate: 2.0e-4, per_device_train_batch_size: 16, warmup_steps: 5}"]
TEXT = [*FULL, "task.max_length=48", "data.splits={validation: 200, test: 60}", "evaluation.baselines=[]"]


def sets() -> list[Set]:
    """The data sets, the cheap ones first."""
    reviews = "text/clothing_reviews-minilm-full.yaml"
    return [
        Set("News topics", "quickstart.yaml", [*TEXT, "data.shots=30"], 25, _text()),
        Set(
            "Asterisk words",
            "speech/asterisk_words-whisper_tiny_en-full.yaml",
            ["model.config=null", "data.splits={validation: 80, test: 60}"],
            40,
            _sounds(),
        ),
        Set(
            "Stamps",
            "vision/stamps-mobilenet_v2-lp_ft.yaml",
            ["data.splits={validation: 110, test: 60}", "evaluation.baselines=[]"],
            10,
            _images(),
        ),
        Set(
            "Clothing departments",
            reviews,
            [*TEXT, "data.columns={label: department}", "data.shots=null", "data.max_rows=410",
             "evaluation.metrics=[accuracy]"],
            25,
            _text(),
        ),
        Set("Clothing verdicts", reviews, [*TEXT, "data.shots=75", "evaluation.metrics=[roc_auc]"], 25, _text()),
    ]  # fmt: skip


def rank() -> bool:
    """Rank and fine-tune what is missing, write the page, and return whether all claims hold."""
    RUNS.mkdir(parents=True, exist_ok=True)
    found: list[tuple[Set, Ranking, list[FineTuned]]] = []
    for one in sets():
        ranking = _ranking(one.folder, one.recipe, [*one.names.values()], one.overrides, 150)
        found.append((one, ranking, _fine_tuned(one)))
        _write(found, None)
    few = _ranking(RUNS / "few-labels", "quickstart.yaml", [*_text((6, 5, 4, 3, 2, 1)).values()][:-1], [], 500)
    claims = _write(found, few)
    for line, holds in claims:
        print(f"{line}: {'ok' if holds else 'NOT REACHED'}")
    return all(holds for _, holds in claims)


def _ranking(folder: Path, recipe: str, names: list[str], overrides: list[str], rows: int) -> Ranking:
    """A ranking, with the CPU seconds of its first call in a file of its own."""
    start = time.process_time()
    ranking = api.rank(str(ROOT / "recipes" / recipe), names, overrides, out=folder, rows=rows)
    file = folder / "cpu-seconds.json"
    if not file.is_file():
        file.write_text(json.dumps(time.process_time() - start))
    return ranking


def _fine_tuned(one: Set) -> list[FineTuned]:
    """Every checkpoint fine-tuned for the same number of steps, and scored on the validation rows, the best first."""
    recipe = api.read_recipe(str(ROOT / "recipes" / one.recipe), one.overrides)
    rows, found = ranking_rows(recipe, 150), candidates([*one.names.values()])
    halving = Halving(recipe, rows, found, one.folder / "fine-tuning", 60, time.monotonic(), {})
    return halving.fine_tune(found, one.steps)


def _tau(pairs: list[tuple[np.ndarray, np.ndarray]], seed: int = 0) -> tuple[float, float, float]:
    """Mean of Kendall's tau-b over data sets, with the 95 % interval of resampled checkpoints within each set."""

    def mean(parts: list[tuple[np.ndarray, np.ndarray]]) -> float:
        values = [kendalltau(*part).statistic for part in parts]
        defined = [value for value in values if not np.isnan(value)]
        return float(np.mean(defined)) if defined else float("nan")

    rng = np.random.default_rng(seed)
    resampled = []
    for _ in range(1000):
        picks = [rng.integers(0, len(it[0]), len(it[0])) for it in pairs]
        resampled.append(mean([(x[pick], y[pick]) for (x, y), pick in zip(pairs, picks, strict=True)]))
    low, high = np.nanpercentile(resampled, [2.5, 97.5])
    return mean(pairs), float(low), float(high)


def _write(found: list[tuple[Set, Ranking, list[FineTuned]]], few: Ranking | None) -> list[tuple[str, bool]]:
    """The page, whose text before the first table stays; returns the claims."""
    raise NotImplementedError


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    rank()
