"""Rows of texts and recordings as SpeechT5 takes them, its processor and speakers, and what needs no network."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hftransfer.core.errors import DataError, ModelError
from hftransfer.core.media import location, open_audio, resample, seconds
from hftransfer.core.plugins import natural, nearest
from hftransfer.tasks import IGNORED, Outputs, stack
from hftransfer.tasks._audio import row_list

if TYPE_CHECKING:
    import torch
    from datasets import Dataset
    from transformers import FeatureExtractionMixin, PretrainedConfig, PreTrainedModel, ProcessorMixin

    from hftransfer.metrics._speech import Sound
    from hftransfer.tasks import ModelBatch
    from hftransfer.tasks._types import EncodedRow

_TRAINED = "speecht5"
_OTHERS = {
    "vits": "Transformers has no training of VITS (its forward refuses labels)",
    "fastspeech2_conformer": "it learns durations, pitch and energy of phonemes, which these rows do not have",
}
# Of a new model: amplitudes below which nothing is to be learnt, and the highest frequency as a share of the rate.
_NEW_FLOOR, _HIGHEST = 1e-5, 0.475


def check_model(config: PretrainedConfig) -> None:
    """Refuse what is no SpeechT5.

    Raises:
        ModelError: the model cannot be trained on texts and recordings.
    """
    if config.model_type != _TRAINED:
        reason = _OTHERS.get(config.model_type, "its training differs")
        raise ModelError(
            f"'text-to-speech' trains SpeechT5 (microsoft/speecht5_tts), and a {config.model_type} cannot do it: "
            f"{reason}"
        )


def new_processor(config: PretrainedConfig, texts: list[str], rate: int) -> ProcessorMixin:
    """A processor for a new model: the characters of the training texts, and spectrograms at this rate.

    The size of the vocabulary is written into the config.
    """
    import sentencepiece
    from transformers import SpeechT5FeatureExtractor, SpeechT5Processor, SpeechT5Tokenizer

    ids = {"bos_id": config.bos_token_id, "pad_id": config.pad_token_id, "eos_id": config.eos_token_id, "unk_id": 3}
    model, size = io.BytesIO(), len(set().union(*texts)) + 10
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_writer=model, model_type="char", vocab_size=size, hard_vocab_limit=False,
        character_coverage=1.0, minloglevel=2, **ids,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "spm_char.model"
        file.write_bytes(model.getvalue())
        tokenizer = SpeechT5Tokenizer(str(file))
    config.update({"vocab_size": len(tokenizer)})
    extractor = SpeechT5FeatureExtractor(
        num_mel_bins=config.num_mel_bins, sampling_rate=rate, fmax=min(7600, _HIGHEST * rate), mel_floor=_NEW_FLOOR
    )
    return SpeechT5Processor(feature_extractor=extractor, tokenizer=tokenizer)


def read_recording(cell: Any, rate: int) -> Sound:
    """A recording at this rate."""
    return resample(*open_audio(location(cell)), rate), rate


def spectrogram(cell: Any, extractor: FeatureExtractionMixin) -> np.ndarray:
    """log10 of the mel amplitudes of a recording, float32 of shape (frames, bins)."""
    samples, rate = read_recording(cell, extractor.sampling_rate)
    made: np.ndarray = extractor(audio_target=samples, sampling_rate=rate)["input_values"][0]
    return made


def speaker_names(column: list[Any]) -> list[str]:
    """The names in a column of speakers; empty where it holds vectors."""
    if any(isinstance(cell, list) for cell in column):
        return []
    return sorted({str(cell) for cell in column if cell is not None}, key=natural)


def speaker_vector(cell: Any, names: list[str] | None, size: int) -> np.ndarray:
    """The vector that stands for a speaker, float32 of shape (size,).

    A list of numbers (an x-vector) is taken as it is. Of names each has a 1 at its own place, so that a linear layer of
    the model learns a vector for each; without a column of speakers all rows have the first.

    Raises:
        DataError: the vector has another size, or the speaker is in no training row.
    """
    if isinstance(cell, list):
        vector = np.asarray(cell, dtype=np.float32)
        if vector.shape != (size,) or not np.isfinite(vector).all():
            raise DataError(f"a vector of a speaker is {size} numbers for this model, got {vector.shape}: {cell!r:.60}")
        return vector
    if names == []:
        raise DataError(
            f"the speakers of the training rows are vectors, a list of {size} numbers each, got {cell!r:.60}"
        )
    if names is not None and str(cell) not in names:
        raise DataError(f"the speaker '{cell}' is in no training row; {nearest(str(cell), names)}")
    place = 0 if names is None else names.index(str(cell))
    if place >= size:
        raise DataError(f"there are {len(names or [])} speakers, and the model tells {size} apart at most")
    return np.asarray(np.eye(1, size, place, dtype=np.float32)[0])


def check_lengths(splits: Mapping[str, Dataset], processor: ProcessorMixin, config: PretrainedConfig) -> None:
    """Refuse rows that the model has no positions for.

    Raises:
        DataError: a text or a recording is too long.
    """
    extractor, longest = processor.feature_extractor, config.max_speech_positions * config.reduction_factor
    limit = longest * extractor.sample_stride / extractor.sampling_rate
    for split, rows in splits.items():
        counts = [len(ids) for ids in processor.tokenizer(rows["text"][:], verbose=False)["input_ids"]]
        found = {
            f"texts of more than the {config.max_text_positions} tokens": [
                row for row, count in enumerate(counts) if count > config.max_text_positions
            ],
            f"recordings of more than the {limit:g} s": [
                row for row, cell in enumerate(rows["audio"]) if seconds(cell) > limit
            ],
        }
        for what, where in found.items():
            if where:
                raise DataError(
                    f"{len(where)} of {len(counts)} rows of '{split}' have {what} that the model takes; leave them "
                    f"out: {row_list(where)}"
                )


def pad(encoded: list[EncodedRow], pad_id: int, factor: int) -> ModelBatch:
    """A batch of texts, speakers and spectrograms, which are cut to whole groups of `factor` frames, one step each."""
    import torch
    from torch.nn.utils.rnn import pad_sequence

    ids = [torch.tensor(row["input_ids"]) for row in encoded]
    batch = {
        "input_ids": pad_sequence(ids, batch_first=True, padding_value=pad_id),
        "attention_mask": pad_sequence([torch.ones_like(it) for it in ids], batch_first=True),
        "speaker_embeddings": torch.from_numpy(np.stack([row["speaker_embeddings"] for row in encoded])).float(),
    }
    if "labels" in encoded[0]:
        arrays = [np.asarray(row["labels"], dtype=np.float32) for row in encoded]
        whole = [torch.from_numpy(array[: max(1, len(array) // factor) * factor]) for array in arrays]
        labels = pad_sequence(whole, batch_first=True, padding_value=IGNORED)
        missing = -labels.shape[1] % factor
        batch["labels"] = torch.nn.functional.pad(labels, (0, 0, 0, missing), value=IGNORED)
    return batch


def generate(model: PreTrainedModel, batch: ModelBatch, longest: float) -> list[np.ndarray]:
    """The spectrogram of each text, float32 of shape (frames, bins), of at most `longest` frames a token.

    The dropout before the decoder is there in generation too (Shen et al. 2018, https://arxiv.org/abs/1712.05884,
    section 2.2); its random numbers are the same each time.
    """
    import torch

    config = model.config
    most = config.max_speech_positions * config.reduction_factor / batch["input_ids"].shape[1]
    names = ("input_ids", "attention_mask", "speaker_embeddings")
    devices = [batch["input_ids"].device] if batch["input_ids"].is_cuda else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(0)
        made, lengths = model.generate_speech(
            **{name: batch[name] for name in names}, maxlenratio=min(longest, most), return_output_lengths=True
        )
    arrays: torch.Tensor = made.float().cpu()
    return [array[:length].numpy() for array, length in zip(arrays, lengths, strict=True)]


def frames_of(filled: np.ndarray) -> np.ndarray:
    """A spectrogram without the frames of NaN that fill it up."""
    return np.asarray(filled[~np.isnan(filled).all(axis=1)])


BASELINES = ("mean_spectrogram", "nearest_text")
"""The mean frame of the training recordings, for as long as they take for as many tokens; the training recording whose
text is the nearest by the TF-IDF of its characters, in runs of one to three."""


def baseline_outputs(name: str, encoded: Mapping[str, Dataset]) -> dict[str, Outputs]:
    """Split -> spectrograms by one of `BASELINES`."""
    splits = {split: table for split, table in encoded.items() if split != "train"}
    made = _mean_frames(encoded["train"], splits) if name == BASELINES[0] else _nearest(encoded["train"], splits)
    return {split: {"spectrogram": stack(arrays)} for split, arrays in made}


def _mean_frames(train: Dataset, splits: Mapping[str, Dataset]) -> Iterator[tuple[str, list[np.ndarray]]]:
    total, frames, tokens = 0.0, 0, 0
    for row in train:
        labels = np.asarray(row["labels"], dtype=np.float32)
        total, frames, tokens = total + labels.sum(axis=0), frames + len(labels), tokens + len(row["input_ids"])
    mean = np.asarray(total / frames, dtype=np.float32)
    for split, table in splits.items():
        counts = [max(1, round(frames / tokens * len(row["input_ids"]))) for row in table]
        yield split, [np.tile(mean, (count, 1)) for count in counts]


def _nearest(train: Dataset, splits: Mapping[str, Dataset]) -> Iterator[tuple[str, list[np.ndarray]]]:
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 3))
    known = vectorizer.fit_transform([row["side_text"] for row in train])
    for split, table in splits.items():
        similar = vectorizer.transform([row["side_text"] for row in table]) @ known.T
        nearest_rows = similar.toarray().argmax(axis=1).tolist()
        yield split, [np.asarray(train[row]["labels"], dtype=np.float32) for row in nearest_rows]
