"""How good the baseline `probe` is with few labels, over draws of them: by `scripts/bench labels`.

The checkpoint reads each row once; each draw takes other training rows, the same number of each class.
"""

import tempfile
from pathlib import Path

import numpy as np
from _strategies import MNIST, pretrain

from hftransfer.data.encode import encode
from hftransfer.models.frozen_features import Features, baseline_features, frozen_features, named_pooling
from hftransfer.models.probe import fit_and_score
from hftransfer.models.weights import load_model
from hftransfer.recipe.loader import load_recipe
from hftransfer.runner.plan import check

DRAWS = 20
# Recipe, overrides, and labels of each class -> the mean accuracy that is claimed.
DATA = {
    "news": ("text/bbc_news-minilm-linear_probe", [], {8: 0.88, 16: 0.91, 64: 0.94}),
    "digits": ("vision/digits-vit_tiny-full", [f"model.id={MNIST}", "strategy=linear_probe"], {8: 0.75, 16: 0.82}),
}


def labels() -> bool:
    """Print the mean, the least and the largest accuracy over the draws, and say whether the means are as claimed."""
    pretrain()
    all_hold = True
    for name, (recipe, overrides, claims) in DATA.items():
        features, references = _read(recipe, [*overrides, "export=null"])
        for count, least in claims.items():
            found = [_accuracy(features, references, count, seed) for seed in range(DRAWS)]
            mean, holds = np.mean(found), np.mean(found) >= least
            all_hold &= bool(holds)
            print(
                f"{name}, {count} labels a class: {mean:.3f}, {min(found):.3f} to {max(found):.3f} over {DRAWS} draws "
                f"(claimed: at least {least}) {'ok' if holds else 'NOT REACHED'}"
            )
    return all_hold


def _read(recipe: str, overrides: list[str]) -> tuple[dict[str, Features], dict[str, np.ndarray]]:
    """Frozen features and references of the training and the test rows of a recipe."""
    plan = check(load_recipe(recipe, overrides))
    model = load_model(plan.task, plan.origin)
    splits = {name: plan.rows.splits[name] for name in ("train", "test")}
    with tempfile.TemporaryDirectory() as folder:
        encoded = encode(plan.task, splits, Path(folder))
        features = {name: frozen_features(plan.task, model, encoded, name, 32) for name in splits}
    named = named_pooling(plan.origin.weights)
    features = {split: baseline_features(found, named) for split, found in features.items()}
    return features, {name: np.asarray(plan.task.references(rows)) for name, rows in splits.items()}


def _accuracy(features: dict[str, Features], references: dict[str, np.ndarray], count: int, seed: int) -> float:
    """Test accuracy of a probe on `count` training rows of each class."""
    rng, classes = np.random.default_rng(seed), references["train"]
    rows = np.concatenate([rng.permutation(np.flatnonzero(classes == it))[:count] for it in np.unique(classes)])
    train = {name: array[rows] for name, array in features["train"].items()}
    scores = fit_and_score("probe", "class", train, classes[rows], {"test": features["test"]}, seed)["test"]
    return float((scores.argmax(axis=1) == references["test"]).mean())
