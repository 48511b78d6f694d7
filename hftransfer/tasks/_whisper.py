"""Transcripts by generation: a decoder writes tokens, in Whisper's case after those of the language.

Radford et al. 2022, https://arxiv.org/abs/2212.04356
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from hftransfer.core.errors import DataError, ModelError
from hftransfer.core.plugins import nearest
from hftransfer.tasks._audio import row_list

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import (
        FeatureExtractionMixin,
        PretrainedConfig,
        PreTrainedModel,
        PreTrainedTokenizerBase,
        ProcessorMixin,
        WhisperProcessor,
    )

_END, _START, _TRANSCRIBE = "<|endoftext|>", "<|startoftranscript|>", "<|transcribe|>"
_NO_TIMES, _TASKS = "<|notimestamps|>", ("transcribe", "translate")
# Tokens before a text at most: start, language, task, no time stamps.
_BEFORE_TEXT = 4
# Of the checkpoints whose names end in .en; their tokenizers have the tokens of all languages.
_ENGLISH_VOCABULARY = 51_864


def new_processor(extractor: FeatureExtractionMixin, rows: Dataset, config: PretrainedConfig) -> WhisperProcessor:
    """Whisper's processor with a vocabulary of the training texts' bytes and their most common pairs.

    The ids of its special tokens are written into the new model's config.
    """
    from tokenizers import ByteLevelBPETokenizer
    from transformers import WhisperProcessor, WhisperTokenizer

    special = [_END, _START, _TRANSCRIBE, _NO_TIMES]
    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator(rows["text"][:], config.vocab_size, special_tokens=special, show_progress=False)
    with tempfile.TemporaryDirectory() as folder:
        files = bpe.save_model(folder)
        tokenizer = WhisperTokenizer(*files, additional_special_tokens=special[1:])
    end, start = (tokenizer.convert_tokens_to_ids(token) for token in (_END, _START))
    ids = {"pad_token_id": end, "bos_token_id": end, "eos_token_id": end, "decoder_start_token_id": start}
    config.update(ids | {"vocab_size": len(tokenizer), "suppress_tokens": None, "begin_suppress_tokens": None})
    return WhisperProcessor(feature_extractor=extractor, tokenizer=tokenizer)


def set_window(extractor: FeatureExtractionMixin, seconds: int | None) -> None:
    """Let an extractor pad and truncate recordings to fewer seconds than the checkpoint's 30; None: to these.

    Raises:
        ModelError: it makes no spectrograms of one length, or those of fewer seconds.
    """
    if seconds is None:
        return
    window = getattr(extractor, "chunk_length", None)
    if window is None:
        raise ModelError("task.window_seconds is for Whisper: this checkpoint reads recordings of any length")
    if seconds > window:
        raise ModelError(f"task.window_seconds: the checkpoint reads at most {window} seconds, got {seconds}")
    extractor.chunk_length = seconds
    extractor.n_samples = seconds * extractor.sampling_rate
    extractor.nb_max_frames = extractor.n_samples // extractor.hop_length


def window_fields(seconds: int | None) -> dict[str, int]:
    """Fields of the config for a window of so many seconds: a position of the encoder stands for 20 ms."""
    return {} if seconds is None else {"max_source_positions": 50 * seconds}


def set_language(processor: ProcessorMixin, language: str, config: PretrainedConfig) -> None:
    """Let the tokenizer begin texts with the tokens of a language, given by its code or its English name.

    Raises:
        ModelError: the checkpoint has no languages, or not this one.
    """
    from transformers.models.whisper.tokenization_whisper import TO_LANGUAGE_CODE

    name, vocabulary = language.lower(), processor.tokenizer.get_vocab()
    code = TO_LANGUAGE_CODE.get(name, name)
    if _TRANSCRIBE not in vocabulary:
        raise ModelError(
            "task.language is for Whisper, and by CTC for Turkish and Azerbaijani: this checkpoint has no languages"
        )
    if config.vocab_size == _ENGLISH_VOCABULARY:
        raise ModelError("task.language: the checkpoint is of English alone and names no language; leave it out")
    if f"<|{code}|>" not in vocabulary:
        names = [name for name, short in TO_LANGUAGE_CODE.items() if f"<|{short}|>" in vocabulary]
        raise ModelError(f"task.language: the checkpoint has no language '{language}'; {nearest(name, names)}")
    processor.tokenizer.set_prefix_tokens(language=code, task="transcribe")


def token_ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """A text as labels, with the token of its end; the model itself puts the start token before them.

    Tokenizers that are not Whisper's may begin a text with a token and leave out that of its end (Moonshine).
    """
    ids: list[int] = tokenizer(text).input_ids
    start = tokenizer.convert_tokens_to_ids(_START)
    if start != tokenizer.unk_token_id:
        return ids[1:] if ids[0] == start else ids
    begins, end = ids[:1] == [tokenizer.bos_token_id], tokenizer.eos_token_id
    return [*ids[begins:], *([end] if ids[-1:] != [end] else [])]


def decode(tokenizer: PreTrainedTokenizerBase, ids: np.ndarray) -> list[str]:
    """Texts out of generated tokens, shape (rows, tokens), padded with -1."""
    # Not every tokenizer of Whisper has a token for padding.
    texts: list[str] = tokenizer.batch_decode(np.where(ids < 0, tokenizer.eos_token_id, ids), skip_special_tokens=True)
    return texts


def positions_for(max_target_length: int, config: PretrainedConfig) -> int:
    """Positions of the decoder.

    Raises:
        ModelError: they are too few for texts of `max_target_length` tokens.
    """
    positions: int = getattr(config, "max_target_positions", max_target_length + _BEFORE_TEXT)
    if max_target_length > positions - _BEFORE_TEXT:
        raise ModelError(f"task.max_target_length: the checkpoint writes at most {positions - _BEFORE_TEXT} tokens")
    return positions


def check_lengths(
    splits: Mapping[str, Dataset], tokenizer: PreTrainedTokenizerBase, positions: int, max_target_length: int
) -> list[str]:
    """A warning for each split with texts of more tokens than are generated.

    Raises:
        DataError: a text has more tokens than the decoder has positions.
    """
    warnings = []
    for split, rows in splits.items():
        counts = [len(token_ids(tokenizer, text)) for text in rows["text"][:]]
        if too_long := [row for row, count in enumerate(counts) if count > positions]:
            raise DataError(
                f"{len(too_long)} of {len(counts)} rows of '{split}' have a text of more than the {positions} tokens "
                f"that the checkpoint takes; leave them out: {row_list(too_long)}"
            )
        truncated = sum(count > max_target_length + _BEFORE_TEXT for count in counts)
        if split != "train" and truncated:
            warnings.append(
                f"{truncated} of {len(counts)} texts of '{split}' have more than the {max_target_length} tokens that "
                "are generated: raise task.max_target_length"
            )
    return warnings


def write_language(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, language: str | None) -> None:
    """Write where generation looks for them: the code of the language, None to detect it, and the task.

    Older checkpoints force tokens of another language, and may lack the tables by which generation finds the tokens.
    `GenerationConfig.update` changes no field that a checkpoint lacks.
    """
    from transformers.models.whisper.tokenization_whisper import TO_LANGUAGE_CODE

    settings, vocabulary = model.generation_config, tokenizer.get_vocab()
    languages = [f"<|{code}|>" for code in TO_LANGUAGE_CODE.values()]
    missing = {
        "is_multilingual": True,
        "lang_to_id": {token: vocabulary[token] for token in languages if token in vocabulary},
        "task_to_id": {task: vocabulary[f"<|{task}|>"] for task in _TASKS if f"<|{task}|>" in vocabulary},
        "no_timestamps_token_id": vocabulary.get(_NO_TIMES),
    }
    for name, value in missing.items():
        if getattr(settings, name, None) is None:
            setattr(settings, name, value)
    settings.language, settings.task = language, "transcribe"
    settings.forced_decoder_ids = None
    if getattr(model.config, "forced_decoder_ids", None) is not None:
        model.config.forced_decoder_ids = None


def has_languages(tokenizer: PreTrainedTokenizerBase, config: PretrainedConfig) -> bool:
    """Whether texts can begin with the token of a language."""
    return "<|es|>" in tokenizer.get_vocab() and config.vocab_size != _ENGLISH_VOCABULARY
