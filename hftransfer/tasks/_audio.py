"""What the tasks on recordings share: decoded with soundfile, resampled once, scored whole and unpadded."""

import base64
import io
import wave
from collections.abc import Callable
from typing import Any

import numpy as np

from hftransfer.core import features
from hftransfer.core.compat import feature_extractor_class
from hftransfer.core.errors import ModelError
from hftransfer.tasks import Batch

# The first layers of wav2vec2 turn 25 ms into one frame.
_SHORTEST = 0.03


def row_fault(row: dict[str, Any], *, silent: bool = True) -> str | None:
    """Why a recording cannot be used; `silent` ones can, where silence is something to be told."""
    samples, rate = row["audio"]
    if (seconds := len(samples) / rate) < _SHORTEST:
        return f"the recording lasts {seconds:.3f} s; the least is {_SHORTEST} s"
    return None if silent or samples.any() else "the recording is silence"


def extract_features(recordings: list[Any], extractor: Any) -> tuple[str, list[np.ndarray]]:
    """The model's main input, its name first: waveforms of shape (time,), or spectrograms of shape (time, bins)."""
    name, rate = extractor.model_input_names[0], extractor.sampling_rate
    waves = [features.resample(*features.open_audio(features.location(cell)), rate) for cell in recordings]
    # One by one, since some extractors would pad them to the longest.
    made = [extractor(samples, sampling_rate=rate, return_tensors="np")[name][0] for samples in waves]
    return name, [array.astype(np.float32) for array in made]


def check(extractor: Any) -> None:
    """Refuse what hears a spectrogram as long as the recording.

    Raises:
        ModelError: inputs of different lengths and more than one axis could not be one batch.
    """
    rate = extractor.sampling_rate
    noise = np.random.default_rng(0).normal(size=2 * rate).astype(np.float32)
    name = extractor.model_input_names[0]
    one, two = (extractor(noise[:end], sampling_rate=rate, return_tensors="np")[name][0] for end in (rate, 2 * rate))
    if one.ndim > 1 and one.shape != two.shape:
        kind = type(extractor).__name__
        raise ModelError(f"{kind} makes spectrograms of any length; take a checkpoint that hears waveforms, or Whisper")


def cut_off(splits: dict[str, Any], extractor: Any) -> list[str]:
    """A warning for each split of recordings that last longer than the model hears (Whisper: 30 s, AST: 10.24 s)."""
    window = getattr(extractor, "n_samples", 0) / extractor.sampling_rate
    if not window and hasattr(extractor, "num_mel_bins"):
        # Frames of 10 ms.
        window = getattr(extractor, "max_length", 0) / 100
    told = []
    for split, rows in splits.items() if window else ():
        # A frame more or less is none.
        long = sum(features.seconds(cell) > window + 0.05 for cell in rows["audio"])
        if long:
            told.append(
                f"{long} of {len(rows)} recordings of '{split}' are cut to the {window:g} s that the model hears"
            )
    return told


def cut(row: dict[str, Any], name: str, seconds: float, rate: int, draw: np.random.Generator) -> dict[str, Any]:
    """A random part of a waveform that lasts longer; spectrograms have one size and stay whole."""
    samples, longest = np.asarray(row[name]), round(seconds * rate)
    if samples.ndim != 1 or len(samples) <= longest:
        return row
    start = int(draw.integers(0, len(samples) - longest + 1))
    return row | {name: samples[start : start + longest]}


def _least(config: Any) -> int:
    """Samples of a batch that training can mask parts of: wav2vec2's masks are wider than its shortest inputs."""
    if not getattr(config, "apply_spec_augment", False) or not hasattr(config, "conv_stride"):
        return 0
    return int((config.mask_time_length + 2) * np.prod(config.conv_stride))


def collator(extractor: Any, config: Any) -> Callable[[list[dict[str, Any]]], Batch]:
    """Waveforms padded to the longest, with a mask; spectrograms, which have one size, stacked."""
    import torch

    name, least = extractor.model_input_names[0], _least(config)

    def collate(rows: list[dict[str, Any]]) -> Batch:
        arrays = [np.asarray(row[name], dtype=np.float32) for row in rows]
        if arrays[0].ndim > 1:
            return {name: torch.from_numpy(np.stack(arrays))}
        length = max(least, *map(len, arrays))
        padded = np.stack([np.pad(array, (0, length - len(array))) for array in arrays])
        mask = np.stack([np.arange(length) < len(array) for array in arrays]).astype(np.int64)
        return {name: torch.from_numpy(padded), "attention_mask": torch.from_numpy(mask)}

    return collate


def unpadded(model: Any, batch: Batch, name: str) -> list[np.ndarray]:
    """Logits of each row, computed without padding: rows of one length together.

    Models with group norm hear the padding, and exported ones know no mask; so a row's output does not depend on which
    others are scored with it.
    """
    inputs = batch[name]
    lengths = (
        batch["attention_mask"].sum(dim=1).tolist() if "attention_mask" in batch else [inputs.shape[1]] * len(inputs)
    )
    found: dict[int, np.ndarray] = {}
    for length in sorted(set(lengths)):
        rows = [row for row, own in enumerate(lengths) if own == length]
        logits = model(**{name: inputs[rows, :length]}).logits.float().cpu().numpy()
        found |= dict(zip(rows, logits, strict=True))
    return [found[row] for row in range(len(lengths))]


def given(path: str) -> dict[str, Any]:
    """A row out of the path of a recording.

    Raises:
        DataError: it is none.
    """
    features.open_audio(path)
    return {"audio": {"bytes": None, "path": path}}


def shown(cell: Any) -> dict[str, Any]:
    """A spectrogram and a player for the first ten seconds of a recording."""
    from matplotlib import colormaps
    from PIL import Image

    samples, rate = features.open_audio(features.location(cell))
    samples = samples[: 10 * rate]
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((samples.clip(-1, 1) * 32767).astype("<i2").tobytes())
    window, step = 400 * rate // 16000, max(1, len(samples) // 400)
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(samples, (0, window)), window)[::step]
    power = np.log(np.abs(np.fft.rfft(frames * np.hanning(window))).T[::-1] + 1e-4)
    scaled = (power - power.min()) / (np.ptp(power) or 1)
    picture = Image.fromarray((colormaps["magma"](scaled)[..., :3] * 255).astype(np.uint8)).resize((240, 100))
    image = io.BytesIO()
    picture.save(image, format="PNG")
    return {key: base64.b64encode(it.getvalue()).decode("ascii") for key, it in (("image", image), ("audio", buffer))}


def new_extractor(config: Any) -> Any:
    """The feature extractor of a new model, with the sizes that its config has too; None where it has none.

    Of mel bins as many as the model takes, of frames as many.
    """
    import inspect

    kind = feature_extractor_class(config)
    if kind is None:
        return None
    shared = {"max_length", "num_mel_bins"} & set(inspect.signature(kind.__init__).parameters)
    sizes = {name: getattr(config, name) for name in shared if hasattr(config, name)}
    if hasattr(config, "max_source_positions"):
        # Whisper's convolution halves the frames, of 10 ms each.
        sizes |= {"feature_size": config.num_mel_bins, "chunk_length": config.max_source_positions * 2 // 100}
    return kind(**sizes)
