"""Records as finished runs would leave them."""

import base64
import io
from typing import Any

from PIL import Image

from hftransfer.core.data_facts import DataFacts
from hftransfer.core.results import Example, ExportFacts, RunResult, RuntimeFacts, Score

COMMIT = "c9745ed1d9f207416be6d2e6f8de32d1f16199bf"
LABELS = ["business", "sport", "tech"]


def picture() -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), "teal").save(buffer, format="PNG")
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def score(value: float, width: float = 0.02, count: int = 60) -> Score:
    return Score(value=value, low=value - width, high=value + width, count=count)


def recipe(**changes: Any) -> dict[str, Any]:
    """A resolved recipe, with whole sections replaced by `changes`."""
    return {
        "task": {"name": "text-classification", "problem_type": "single_label_classification", "max_length": 256},
        "model": {"id": "org/small", "config": None, "processor": None, "revision": COMMIT, "trust_remote_code": False},
        "data": {
            "source": {"name": "hub", "id": "org/news", "config": "en", "revision": None},
            "columns": {},
            "splits": {"train": "train", "validation": None, "test": None},
            "shots": None,
            "on_error": "raise",
        },
        "strategy": {"name": "lora", "r": 8, "target_modules": None},
        "training": {"learning_rate": 0.003},
        "evaluation": {"metrics": ["accuracy"], "baselines": ["majority"], "confidence": 0.95, "resamples": 1000},
        "export": {"format": "onnx", "quantization": "dynamic-int8", "max_drop": 0.01},
        "seed": 3,
    } | changes


def result(**changes: Any) -> RunResult:
    """A text classification with two exports, one of them rejected, with whole fields replaced by `changes`."""
    log = [{"step": 5 * e, "epoch": float(e), "loss": 1.2 / e, "learning_rate": 0.001} for e in (1, 2, 3)]
    log += [{"step": 5 * e, "epoch": float(e), "eval_loss": 1.1 / e, "eval_runtime": 0.1} for e in (1, 2, 3)]
    speed = {"p50_ms": 4.0, "p95_ms": 5.0, "p50_ms_batch8": 20.0, "p95_ms_batch8": 25.0}
    reason = "accuracy drops by 0.100, and max_drop is 0.01"
    values = {"majority": 0.35, "scratch": 0.71, "pretrained": 0.3, "tuned": 0.925, "onnx": 0.925, "onnx-int8": 0.825}
    fields: dict[str, Any] = {
        "name": "news-small-lora",
        "task": "text-classification",
        "headline": "accuracy",
        "recipe": recipe(),
        "scores": {
            "test": {name: {"f1": score(value - 0.01), "accuracy": score(value)} for name, value in values.items()},
            "validation": {"tuned": {"f1": score(0.93), "accuracy": score(0.94)}},
        },
        "transfer_gain": {"majority": score(0.575, 0.04), "scratch": score(0.215, 0.04)},
        "parameters": {"all": 22_700_000, "trainable": 301_000},
        "seconds": {"encode": 1.5, "train scratch": 40.0, "train tuned": 73.25, "score tuned": 2.0},
        "peak_memory_bytes": 1_900_000_000,
        "exports": {
            "onnx": ExportFacts(
                bytes=90_800_000,
                loader="ORTModelForSequenceClassification",
                max_abs_diff=2e-6,
                agreement=1.0,
                files=["model.onnx"],
                **speed,
            ),
            "onnx-int8": ExportFacts(
                bytes=23_100_000,
                loader="ORTModelForSequenceClassification",
                max_abs_diff=0.4,
                agreement=0.9,
                rejected=reason,
                **speed,
            ),
        },
        "pytorch": RuntimeFacts(bytes=90_900_000, **speed | {"p50_ms": 9.0}),
        "data": DataFacts(
            fingerprint="9f" * 32,
            rows={"train": 240, "validation": 30, "test": 60},
            duplicates_removed={"train": 7, "validation": 0, "test": 0},
            skipped={"train": 2, "validation": 0, "test": 0},
            labels=LABELS,
            classes={"test": dict.fromkeys(LABELS, 20)},
        ),
        "revisions": {"org/small": COMMIT, "org/news": "7" * 40},
        "versions": {"transformers": "4.57.6", "torch": "2.9.0"},
        "hardware": "4 cores, no accelerator",
        "history": {"scratch": log, "tuned": log},
        "confusion": [[20, 0, 0], [1, 19, 0], [5, 0, 15]],
        "worst": [
            Example(row=7, reference="tech", prediction="business", error=3.2, rendered={"text": "Phones <b>fall</b>"}),
            Example(row=9, reference="tech", prediction="business", error=2.1, rendered={"image": picture()}),
        ],
        "warnings": ["2 of 60 test rows are shorter than 3 words"],
    }
    return RunResult(**fields | changes)


def regression(**changes: Any) -> RunResult:
    """A run without classes, exports, history and baselines."""
    facts = result().data.model_copy(update={"labels": [], "classes": {}})
    fields: dict[str, Any] = {
        "name": "prices",
        "headline": "mae",
        "scores": {"test": {"scratch": {"mae": score(152.5, 4)}, "tuned": {"mae": score(120.25, 3)}}},
        "transfer_gain": {"scratch": score(32.25, 4)},
        "recipe": recipe(export=None),
        "exports": {},
        "data": facts,
        "history": {},
        "confusion": [],
        "worst": [],
        "warnings": [],
    }
    return result(**fields | changes)
