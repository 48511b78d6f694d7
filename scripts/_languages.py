"""What Whisper's frozen encoder knows of languages beyond the spectrogram that it reads: by `scripts/bench languages`.

Both are scored by the baseline `probe`, on the rows of the recipe `spoken_languages-whisper_tiny_en-linear_probe`: once
averaged over the whole window, as WhisperForAudioClassification does, once over the frames of the recording alone.
"""

import tempfile
from pathlib import Path

import numpy as np

from hftransfer.core.media import seconds
from hftransfer.data.encode import encode
from hftransfer.models.probe import fit_and_score
from hftransfer.models.weights import load_model
from hftransfer.recipe.loader import load_recipe
from hftransfer.runner.plan import check

RECIPE = "speech/spoken_languages-whisper_tiny_en-linear_probe"
RESAMPLES = 2000
FRAMES = ("whole window", "recording alone")


def languages() -> bool:
    """Print accuracies on other voices, their differences, and intervals; say whether the last is above zero."""
    plan = check(load_recipe(RECIPE, ["export=null", "task.window_seconds=2"]))
    model = load_model(plan.task, plan.origin).eval()
    splits = {name: plan.rows.splits[name] for name in ("train", "test")}
    references = {name: np.asarray(plan.task.references(rows)) for name, rows in splits.items()}
    with tempfile.TemporaryDirectory() as folder:
        encoded = encode(plan.task, splits, Path(folder)).splits
        read = {name: _features(model, encoded[name], splits[name]["audio"][:]) for name in splits}
    right = {}
    for name in read["train"]:
        train, test = ({"mean": read[split][name]} for split in splits)
        scores = fit_and_score("probe", "class", train, references["train"], {"test": test}, 0)["test"]
        right[name] = scores.argmax(axis=1) == references["test"]
    for frames in FRAMES:
        right[f"gain, {frames}"] = right[f"encoder, {frames}"] * 1.0 - right[f"log-mel, {frames}"]
    rows = np.random.default_rng(0).integers(0, len(references["test"]), (RESAMPLES, len(references["test"])))
    frequent = np.bincount(references["train"]).argmax()
    print(f"most frequent class: {(references['test'] == frequent).mean():.3f}")
    for name, values in right.items():
        low, high = np.quantile(values[rows].mean(axis=1), (0.025, 0.975))
        print(f"{name}: {values.mean():.3f} [{low:.3f}, {high:.3f}], {len(values)} rows")
    return bool(low > 0)


def _features(model, rows, recordings) -> dict[str, np.ndarray]:
    """Name -> features of shape (rows, size): of spectrograms mean and deviation over time, of the encoder the mean."""
    import torch

    found: dict[str, list[np.ndarray]] = {}
    for row, recording in enumerate(recordings):
        spectrogram = np.asarray(rows[row]["input_features"], dtype=np.float32)
        with torch.inference_mode():
            encoded = model.encoder(torch.from_numpy(spectrogram)[None])[0][0].numpy()
        # A frame of the encoder is 20 ms, two of the spectrogram.
        for frames, count in zip(
            FRAMES, (len(encoded), min(len(encoded), round(50 * seconds(recording)))), strict=True
        ):
            bands = spectrogram[:, : 2 * count]
            statistics = np.concatenate([bands.mean(axis=1), bands.std(axis=1)])
            found.setdefault(f"log-mel, {frames}", []).append(statistics)
            found.setdefault(f"encoder, {frames}", []).append(encoded[:count].mean(axis=0))
    return {name: np.stack(vectors) for name, vectors in found.items()}
