"""Accuracy of the probe on the sample `stamps`, 8 labels a kind, mean and deviation of 10 draws: docs/results.md."""

import numpy as np
import torch
from transformers import AutoImageProcessor, AutoModel

from hftransfer.core import plugins
from hftransfer.models.probe import fit_and_score

SHOTS, DRAWS, BATCH = 8, 10, 8


def main() -> None:
    """Print a line a checkpoint."""
    rows = plugins.load("samples", "stamps")().rows()["train"]
    images, labels = rows["image"][:], np.array(rows["label"])
    for name in ("mobilenet_v2", "efficientnet_lite0"):
        folder = plugins.load("samples", name)().checkpoint()
        model, processor = AutoModel.from_pretrained(folder).eval(), AutoImageProcessor.from_pretrained(folder)
        with torch.no_grad():
            batches = (processor(images[i : i + BATCH], return_tensors="pt") for i in range(0, len(images), BATCH))
            features = np.concatenate([model(**batch).pooler_output.flatten(1).numpy() for batch in batches])
        found = [accuracy(features, labels, seed) for seed in range(DRAWS)]
        print(f"{name:<20} {np.mean(found):.3f} +- {np.std(found):.3f}", flush=True)


def accuracy(features: np.ndarray, labels: np.ndarray, seed: int) -> float:
    """Of a probe on so many sampled rows of each kind, on all others."""
    rng = np.random.default_rng(seed)
    train = np.concatenate([rng.permutation(np.flatnonzero(labels == kind))[:SHOTS] for kind in np.unique(labels)])
    test = np.setdiff1d(np.arange(len(labels)), train)
    splits = {"test": {"mean": features[test]}}
    scores = fit_and_score("probe", "class", {"mean": features[train]}, labels[train], splits, seed)["test"]
    return float((scores.argmax(axis=1) == labels[test]).mean())


if __name__ == "__main__":
    main()
