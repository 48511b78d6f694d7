"""What the tasks on recordings share: feature extraction, cutting, padding, and what a report shows.

A recording is decoded and resampled to the checkpoint's rate once. It is scored whole and without padding.
"""

from __future__ import annotations

import base64
import inspect
import io
import math
import wave
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from hftransfer.core.compat import feature_extractor_class
from hftransfer.core.errors import ModelError
from hftransfer.core.media import audio_head, location, open_audio, resample, seconds

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import FeatureExtractionMixin, PretrainedConfig

    from hftransfer.core.data_facts import InputFact
    from hftransfer.tasks import ModelBatch
    from hftransfer.tasks._types import EncodedRow, Model, Row

# Recordings whose length is looked at.
_LOOKED_AT = 500
# Seconds that Whisper reads.
_WHISPER = 30
# The first layers of wav2vec2 make one frame of 25 ms.
_SHORTEST = 0.03
# A recording may be a frame or two longer than the model reads.
_SLACK = 0.05
# Seconds of a recording that a report plays, and the size of its spectrogram in pixels.
_PLAYED = 10
_SPECTROGRAM = (240, 100)


def fault(row: Row, *, silence: bool = True) -> str | None:
    """Why the recording of a row cannot be used; `silence` says whether one without any sound can."""
    samples, rate = row["audio"]
    if (duration := len(samples) / rate) < _SHORTEST:
        return f"the recording lasts {duration:.3f} s; the least is {_SHORTEST} s"
    return None if silence or samples.any() else "the recording is silence"


def suggested_window(rows: Dataset) -> dict[str, int]:
    """`window_seconds` as long as the longest of some recordings, where Whisper would pad each to 30 seconds."""
    from datasets import Audio
    from soundfile import LibsndfileError

    step = max(1, len(rows) // _LOOKED_AT)
    if isinstance(rows.features["audio"], Audio):
        rows = rows.cast_column("audio", Audio(decode=False))
    try:
        longest = math.ceil(max(seconds(cell) for cell in rows[::step]["audio"]))
    except (LibsndfileError, OSError, TypeError):
        return {}
    return {"window_seconds": longest} if longest < _WHISPER else {}


def new_extractor(config: PretrainedConfig) -> FeatureExtractionMixin | None:
    """The feature extractor of a new model, with as many mel bins and frames as its config; None where it has none.

    Raises:
        ModelError: the config asks for features that no extractor makes.
    """
    extractor_class = feature_extractor_class(config)
    if extractor_class is None:
        return None
    if (size := getattr(config, "feature_projection_input_dim", None)) is not None:
        return _spectrogram_extractor(size)
    parameters = set(inspect.signature(extractor_class.__init__).parameters)
    shared = {"max_length", "num_mel_bins"} & parameters
    sizes = {name: getattr(config, name) for name in shared if hasattr(config, name)}
    if "chunk_length" in parameters and hasattr(config, "max_source_positions"):
        # Whisper's convolution halves the frames, of 10 ms each.
        sizes |= {"feature_size": config.num_mel_bins, "chunk_length": config.max_source_positions * 2 // 100}
    return extractor_class(**sizes)


def _spectrogram_extractor(size: int) -> FeatureExtractionMixin:
    """That of w2v-BERT, whose features are two frames of a spectrogram; Transformers' table names one of waveforms."""
    from transformers import SeamlessM4TFeatureExtractor

    if size % 2:
        raise ModelError(
            f"model.config.feature_projection_input_dim: it is that of two frames of a spectrogram, got {size}"
        )
    return SeamlessM4TFeatureExtractor(feature_size=size // 2, num_mel_bins=size // 2)


def extract_features(
    recordings: list[Any], extractor: FeatureExtractionMixin
) -> tuple[str, list[np.ndarray], list[int]]:
    """The name of the model's main input, a float32 array for each recording, and the length of each.

    The arrays are waveforms of shape (time,), or spectrograms of shape (time, bins) or (bins, time).
    """
    rate = extractor.sampling_rate
    waves = [resample(*open_audio(location(cell)), rate) for cell in recordings]
    # One by one, since some extractors would pad them to the longest.
    arrays = [features(extractor, samples) for samples in waves]
    return extractor.model_input_names[0], arrays, [len(array) for array in arrays]


def features(extractor: FeatureExtractionMixin, samples: np.ndarray) -> np.ndarray:
    """What the model reads of one waveform, without the padding that the extractor marks as such."""
    made = extractor(samples, sampling_rate=extractor.sampling_rate, return_tensors="np")
    array: np.ndarray = made[extractor.model_input_names[0]][0].astype(np.float32)
    if "attention_mask" in made:
        array = array[made["attention_mask"][0] == 1]
    return array


def check_extractor(extractor: FeatureExtractionMixin, *, pads: bool = True) -> None:
    """Refuse an extractor whose spectrograms are as long as the recordings and cannot be padded.

    `pads` says whether the model reads padded spectrograms with a mask, as w2v-BERT does.

    Raises:
        ModelError: spectrograms of different lengths could not be one batch.
    """
    short, long = (features(extractor, noise(extractor, length)) for length in (1, 2))
    if short.ndim > 1 and short.shape != long.shape and not (pads and has_mask(extractor)):
        raise ModelError(
            f"{type(extractor).__name__} makes spectrograms of any length; take a checkpoint that reads waveforms, "
            "or Whisper"
        )


def noise(extractor: FeatureExtractionMixin, duration: int) -> np.ndarray:
    """A waveform of so many seconds."""
    count: int = duration * extractor.sampling_rate
    return np.random.default_rng(0).normal(size=count).astype(np.float32)


def has_mask(extractor: FeatureExtractionMixin) -> bool:
    return "attention_mask" in extractor.model_input_names


def input_rate(extractor: FeatureExtractionMixin) -> float:
    """Samples, or frames of a spectrogram of any length, that the model reads a second."""
    return len(features(extractor, noise(extractor, 2))) / 2


def _window(extractor: FeatureExtractionMixin) -> float:
    """Seconds of a recording that the model reads (Whisper: 30, AST: 10.24); 0 where it reads all."""
    window: float = getattr(extractor, "n_samples", 0) / extractor.sampling_rate
    if not window and hasattr(extractor, "num_mel_bins"):
        # Frames of 10 ms.
        window = getattr(extractor, "max_length", 0) / 100
    return window


def input_facts(recordings: Iterable[Any], extractor: FeatureExtractionMixin) -> dict[InputFact, np.ndarray]:
    """`rate` and, of models that read so many seconds, `truncated`, by the heads of the files."""
    sizes, window = [audio_head(cell) for cell in recordings], _window(extractor)
    facts: dict[InputFact, np.ndarray] = {"rate": np.array([rate for _, rate in sizes]) / extractor.sampling_rate}
    if window:
        facts["truncated"] = np.array([1 - min(1, (window + _SLACK) / duration) for duration, _ in sizes])
    return facts


def truncated(splits: Mapping[str, Dataset], extractor: FeatureExtractionMixin) -> list[str]:
    """A warning for each split with recordings longer than the model reads."""
    window, warnings = _window(extractor), []
    for split, rows in splits.items() if window else ():
        long = sum(seconds(cell) > window + _SLACK for cell in rows["audio"])
        if long:
            warnings.append(
                f"{long} of {len(rows)} recordings of '{split}' are truncated to the {window:g} s that the model reads"
            )
    return warnings


def random_crop(row: EncodedRow, name: str, duration: float, rate: int, rng: np.random.Generator) -> EncodedRow:
    """The row with a random part of a waveform longer than `duration` seconds; spectrograms stay whole."""
    samples, longest = np.asarray(row[name]), round(duration * rate)
    if samples.ndim != 1 or len(samples) <= longest:
        return row
    start = int(rng.integers(0, len(samples) - longest + 1))
    return row | {name: samples[start : start + longest]}


def pad_batch(extractor: FeatureExtractionMixin, config: PretrainedConfig, encoded: list[EncodedRow]) -> ModelBatch:
    """Waveforms, and spectrograms of any length, padded to the longest, with a mask; those of one size, stacked."""
    import torch

    name = extractor.model_input_names[0]
    arrays = [np.asarray(row[name], dtype=np.float32) for row in encoded]
    if arrays[0].ndim > 1 and not has_mask(extractor):
        return {name: torch.from_numpy(np.stack(arrays))}
    length = max(least_length(config), *map(len, arrays))
    padded = np.zeros((len(arrays), length, *arrays[0].shape[1:]), np.float32)
    for row, array in zip(padded, arrays, strict=True):
        row[: len(array)] = array
    mask = np.stack([np.arange(length) < len(array) for array in arrays]).astype(np.int64)
    return {name: torch.from_numpy(padded), "attention_mask": torch.from_numpy(mask)}


def least_length(config: PretrainedConfig) -> int:
    """Samples (or frames) of a batch in which training can mask time.

    The masks of wav2vec2 are longer than its shortest inputs. A model without convolutions over time masks the frames
    that it reads.
    """
    if not getattr(config, "apply_spec_augment", False):
        return 0
    return int((config.mask_time_length + 2) * np.prod(getattr(config, "conv_stride", [1])))


def unpadded_logits(model: Model, batch: ModelBatch, name: str, output: str = "logits") -> list[np.ndarray]:
    """Logits, or another output, of each row, computed without padding: rows of one length together.

    Group norm sees the padding, and exported models take no mask. So the output of a row does not depend on the others
    in its batch.
    """
    inputs = batch[name]
    lengths = (
        batch["attention_mask"].sum(dim=1).tolist() if "attention_mask" in batch else [inputs.shape[1]] * len(inputs)
    )
    by_row: dict[int, np.ndarray] = {}
    for length in sorted(set(lengths)):
        rows = [row for row, row_length in enumerate(lengths) if row_length == length]
        values = getattr(model(**{name: inputs[rows, :length]}), output).float().cpu().numpy()
        by_row |= dict(zip(rows, values, strict=True))
    return [by_row[row] for row in range(len(lengths))]


def render(cell: Any) -> dict[str, str]:
    """A spectrogram (`image`) and the first ten seconds of a recording (`audio`), as base64."""
    samples, rate = open_audio(location(cell))
    samples = samples[: _PLAYED * rate]
    return {"image": _base64(_spectrogram(samples, rate)), "audio": wav_text(samples, rate)}


def played(samples: np.ndarray, rate: int) -> str:
    """The first ten seconds of samples in [-1, 1], for a report: a WAV file of 16 bits as base64."""
    return wav_text(samples[: _PLAYED * rate], rate)


def wav_text(samples: np.ndarray, rate: int) -> str:
    """Samples in [-1, 1] as a WAV file of 16 bits, as base64."""
    return _base64(_wav(samples, rate))


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _wav(samples: np.ndarray, rate: int) -> bytes:
    """A WAV file of 16 bits."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((samples.clip(-1, 1) * 32767).astype("<i2").tobytes())
    return buffer.getvalue()


def _spectrogram(samples: np.ndarray, rate: int) -> bytes:
    """A PNG of the logarithmic power over time, windows of 25 ms."""
    from matplotlib import colormaps
    from PIL import Image

    window, step = 400 * rate // 16000, max(1, len(samples) // 400)
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(samples, (0, window)), window)[::step]
    power = np.log(np.abs(np.fft.rfft(frames * np.hanning(window))).T[::-1] + 1e-4)
    scaled = (power - power.min()) / (np.ptp(power) or 1)
    colours = (colormaps["magma"](scaled)[..., :3] * 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(colours).resize(_SPECTROGRAM).save(buffer, format="PNG")
    return buffer.getvalue()


def row_list(rows: list[int]) -> str:
    """Row numbers for a message, the first twenty."""
    return ", ".join(map(str, rows[:20])) + (", ..." if rows[20:] else "")
