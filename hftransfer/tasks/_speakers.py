"""What embeddings of recordings need beside the model: their frames, and baselines that need no network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from hftransfer.tasks import Encoded, ModelBatch, Outputs, Processor, Rows, _audio, _segments
from hftransfer.tasks._frame_baselines import log_mel
from hftransfer.tasks._frames import frame_count
from hftransfer.tasks._retrieval import random_direction
from hftransfer.tasks._types import EncodedRow

if TYPE_CHECKING:
    from datasets import Dataset
    from torch import Tensor
    from transformers import PretrainedConfig

BASELINES = ("random", "log_mel", "log_mel_lda")
_IMPORTS = """import soundfile
import soxr
import torch
from transformers import (
    AutoConfig, AutoFeatureExtractor, AutoModel, AutoModelForAudioClassification, AutoModelForAudioXVector
)"""
_LOAD = """extractor, config = AutoFeatureExtractor.from_pretrained(repo), AutoConfig.from_pretrained(repo)
if config.model_type == "whisper":
    # Its encoder; the head that it has for classes is not there, and not used.
    model = AutoModelForAudioClassification.from_pretrained(repo).encoder
elif config.architectures[0].endswith("ForXVector"):
    model = AutoModelForAudioXVector.from_pretrained(repo)
else:
    model = AutoModel.from_pretrained(repo)"""
_CALL = """samples, rate = soundfile.read("speech.wav", dtype="float32", always_2d=True)
samples = soxr.resample(samples.mean(axis=1), rate, extractor.sampling_rate)
inputs = extractor(samples, sampling_rate=extractor.sampling_rate, return_tensors="pt")
name = extractor.model_input_names[0]
with torch.inference_mode():
    output = model(**{name: inputs[name]})
if "embeddings" in output:
    pooled = output.embeddings
else:
    hidden = output.last_hidden_state
    if config.model_type == "whisper":
        # Without the silence after the recording.
        hidden = hidden[:, : -(-len(samples) // (2 * extractor.hop_length))]
    pooled = POOLED
# Two recordings are of one voice where the product of their embeddings reaches the threshold in task.json.
answer = torch.nn.functional.normalize(pooled, dim=-1)[0].tolist()"""


def usage(pooling: str | None) -> tuple[str, str, str]:
    """How the card imports, opens and asks the model, for `Task.usage_snippet`."""
    return _IMPORTS, _LOAD, _CALL.replace("POOLED", "hidden[:, 0]" if pooling == "first" else "hidden.mean(dim=1)")


def has_xvectors(config: PretrainedConfig) -> bool:
    """Whether a checkpoint has a head that pools and gives embeddings."""
    return any(name.endswith("ForXVector") for name in config.architectures or [])


def encode(rows: Rows, extractor: Processor, config: Any) -> Encoded:
    """The main input of the extractor and, of windows of one length (Whisper), the `share` that the recording fills."""
    name, arrays, lengths = _audio.extract_features(rows["audio"], extractor)
    if not hasattr(extractor, "n_samples"):
        return Encoded({name: arrays}, length=lengths)
    step, most = _segments.frame_step(extractor, config), arrays[0].shape[1] // 2
    return Encoded({name: arrays, "share": [min(1.0, frame_count(cell, step) / most) for cell in rows["audio"]]})


def shares(batch: ModelBatch, encoded: list[EncodedRow]) -> Tensor:
    """Which share of a padded input each row fills, shape (rows,)."""
    import torch

    if "attention_mask" in batch:
        mask = batch["attention_mask"]
        return mask.sum(dim=1) / mask.shape[1]
    return torch.tensor([row.get("share", 1.0) for row in encoded])


def frame_mask(share: Tensor, frames: int) -> Tensor:
    """Which of so many hidden frames are no padding, shape (rows, frames), 0 or 1.

    Of a batch of waveforms it may have a frame more than the convolutions make of a row.
    """
    import torch

    # Less what a share of float32 may be too large by.
    counts = (frames * share - 1e-3).ceil().clamp(min=1)
    return (torch.arange(frames, device=share.device) < counts[:, None]).long()


def pooled(hidden: list[np.ndarray], batch: ModelBatch, embed: Callable[[Tensor, Tensor | None], Tensor]) -> np.ndarray:
    """Embeddings of rows without padding, each with hidden states (frames, size), or an embedding already (size,)."""
    import torch

    rows = [torch.from_numpy(it if it.ndim == 2 else it[None])[None] for it in hidden]
    masks: list[Tensor | None] = [None] * len(rows)
    if "attention_mask" not in batch and hidden[0].ndim == 2:
        masks = list(frame_mask(batch["share"].cpu(), len(hidden[0]))[:, None])
    vectors: np.ndarray = torch.cat([embed(it, mask) for it, mask in zip(rows, masks, strict=True)]).numpy()
    return vectors


def baseline(
    name: str, encoded: Mapping[str, Dataset], extractor: Processor, config: Any, output: str
) -> dict[str, Outputs]:
    """Embeddings of validation and test rows: random ones, or mean and deviation of the log-mel bands over time.

    `log_mel` has them in units of the deviation over training rows, `log_mel_lda` after a linear discriminant analysis
    of the training identities, its covariance shrunk as by Ledoit and Wolf.
    """
    entry = extractor.model_input_names[0]
    if name == "random":
        return {
            split: {output: np.stack([random_direction(np.asarray(it)) for it in encoded[split][entry]])}
            for split in ("validation", "test")
        }
    step = _segments.frame_step(extractor, config) if hasattr(extractor, "n_samples") else 0.02
    statistics = {
        split: np.stack([_statistics(row, entry, extractor, step) for row in rows]) for split, rows in encoded.items()
    }
    projected = _projected(statistics, encoded["train"]["labels"][:], supervised=name == "log_mel_lda")
    return {split: {output: array.astype(np.float32)} for split, array in projected.items() if split != "train"}


def _statistics(row: Mapping[str, Any], entry: str, extractor: Processor, step: float) -> np.ndarray:
    mel = log_mel(np.asarray(row[entry], dtype=np.float32), extractor, step)
    mel = mel[: max(1, round(len(mel) * row.get("share", 1.0)))]
    return np.concatenate([mel.mean(axis=0), mel.std(axis=0)])


def _projected(statistics: Mapping[str, np.ndarray], identities: Any, *, supervised: bool) -> dict[str, np.ndarray]:
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(statistics["train"])
    scaled = {split: scaler.transform(array) for split, array in statistics.items()}
    if not supervised:
        return scaled
    analysis = LinearDiscriminantAnalysis(solver="eigen", shrinkage="auto").fit(scaled["train"], identities)
    return {split: analysis.transform(array) for split, array in scaled.items()}
