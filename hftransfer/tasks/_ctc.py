"""Transcripts by CTC: the likeliest character of each frame, repeats merged and blanks removed (wav2vec2, HuBERT).

Graves et al. 2006, https://doi.org/10.1145/1143844.1143891
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hftransfer.core.compat import count_frames
from hftransfer.core.errors import DataError, ModelError
from hftransfer.core.media import seconds
from hftransfer.tasks import Outputs, Processor, stack
from hftransfer.tasks._audio import input_rate, row_list

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import (
        FeatureExtractionMixin,
        PretrainedConfig,
        Wav2Vec2BertProcessor,
        Wav2Vec2CTCTokenizer,
        Wav2Vec2Processor,
    )

_DELIMITER, _BLANK, _UNKNOWN = "|", "<pad>", "<unk>"
# The processor of each extractor: of waveforms, and of the spectrograms that w2v-BERT reads.
_PROCESSORS = {"Wav2Vec2FeatureExtractor": "Wav2Vec2Processor", "SeamlessM4TFeatureExtractor": "Wav2Vec2BertProcessor"}
# Languages in which dotted and dotless i are two letters, as `task.language` names them.
_TURKISH_LETTERS = frozenset("ıİğĞ")
_DOTLESS_I = ("tr", "turkish", "az", "azerbaijani")
# Unknown characters that a warning names.
_NAMED = 12


def new_processor(
    extractor: FeatureExtractionMixin, rows: Dataset, language: str | None = None
) -> Wav2Vec2Processor | Wav2Vec2BertProcessor:
    """A processor whose vocabulary is the lower-case characters of the training texts, the blank first.

    Raises:
        ModelError: there is no processor for CTC with this extractor.
    """
    import transformers
    from transformers import Wav2Vec2CTCTokenizer

    name = _PROCESSORS.get(type(extractor).__name__)
    if name is None:
        raise ModelError(f"CTC needs an extractor that is {' or '.join(_PROCESSORS)}, not {type(extractor).__name__}")
    texts = (_lower(text, language) for text in rows["text"][:])
    characters = sorted({c for text in texts for c in text if not c.isspace()} - {_DELIMITER})
    vocabulary = {c: i for i, c in enumerate([_BLANK, _UNKNOWN, _DELIMITER, *characters])}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "vocab.json"
        file.write_text(json.dumps(vocabulary), encoding="utf-8")
        tokenizer = Wav2Vec2CTCTokenizer(
            str(file), pad_token=_BLANK, unk_token=_UNKNOWN, bos_token=None, eos_token=None,
            word_delimiter_token=_DELIMITER,
        )  # fmt: skip
    processor: Wav2Vec2Processor | Wav2Vec2BertProcessor = getattr(transformers, name)(extractor, tokenizer)
    return processor


@lru_cache(maxsize=4)
def _vocabulary(tokenizer: Wav2Vec2CTCTokenizer) -> dict[str, int]:
    """Character -> id; the tokenizer itself would build it once more for each text."""
    ids: dict[str, int] = tokenizer.get_vocab()
    return ids


def folds_dotless_i(language: str | None) -> bool:
    """Whether I is the capital of ı, and İ that of i, in a language."""
    return language is not None and language.lower() in _DOTLESS_I


def _lower(text: str, language: str | None) -> str:
    return (text.replace("İ", "i").replace("I", "ı") if folds_dotless_i(language) else text).lower()


def _upper(text: str, language: str | None) -> str:
    return (text.replace("i", "İ") if folds_dotless_i(language) else text).upper()


@lru_cache(maxsize=4)
def _case(tokenizer: Wav2Vec2CTCTokenizer) -> Callable[[str, str | None], str]:
    """To the case of the vocabulary's letters; no change where it has both cases."""
    letters = [c for c in _vocabulary(tokenizer) if len(c) == 1 and c.isalpha()]
    lower, upper = any(map(str.islower, letters)), any(map(str.isupper, letters))
    return _unchanged if lower == upper else _upper if upper else _lower


def _unchanged(text: str, _language: str | None) -> str:
    return text


def spell(tokenizer: Wav2Vec2CTCTokenizer, text: str, language: str | None = None) -> str:
    """A text as the tokenizer spells it: in its case, with its delimiter between words."""
    return str(tokenizer.word_delimiter_token).join(_case(tokenizer)(text, language).split())


def normalize(tokenizer: Wav2Vec2CTCTokenizer, text: str, language: str | None = None) -> str:
    """A text in the case of the vocabulary, the only one that the model writes, and with single spaces."""
    return spell(tokenizer, text, language).replace(tokenizer.word_delimiter_token, " ")


def character_ids(tokenizer: Wav2Vec2CTCTokenizer, text: str, language: str | None = None) -> list[int]:
    """The ids of a text's characters, without those that the vocabulary lacks."""
    ids = _vocabulary(tokenizer)
    return [ids[c] for c in spell(tokenizer, text, language) if c in ids]


def frame_outputs(logits: list[np.ndarray]) -> Outputs:
    """The likeliest character of each frame (`ids`) and its log-probability (`logprobs`), both of shape (rows, frames).

    Each entry of `logits` has the shape (frames, characters).
    """
    likeliest = [array.argmax(axis=1) for array in logits]
    # The log-softmax of the largest logit alone.
    logprobs = [-np.log(np.exp(array - array.max(axis=1, keepdims=True)).sum(axis=1)) for array in logits]
    return {"ids": stack(likeliest), "logprobs": stack(logprobs)}


def decode(tokenizer: Wav2Vec2CTCTokenizer, ids: np.ndarray) -> list[str]:
    """Texts out of the likeliest character of each frame, shape (rows, frames), padded with -1.

    Special tokens count as blanks: left out, they would make one character of two equal ones around them.
    """
    special = [tokenizer.unk_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id]
    is_special = np.isin(ids, [token for token in special if token is not None])
    rows = np.where(is_special, tokenizer.pad_token_id, ids)
    return [tokenizer.decode(row[row >= 0].tolist()) for row in rows]


def check(
    splits: Mapping[str, Dataset], processor: Processor, config: PretrainedConfig, language: str | None = None
) -> list[str]:
    """A warning of characters that the vocabulary lacks, and of letters whose case depends on the language.

    Raises:
        DataError: training texts have no character of the vocabulary, or more characters than the model has frames.
    """
    train, tokenizer = splits["train"], processor.tokenizer
    labels = [character_ids(tokenizer, text, language) for text in train["text"][:]]
    empty = [row for row, ids in enumerate(labels) if not ids]
    if empty:
        raise DataError(
            f"{len(empty)} of {len(train)} rows of 'train' have no character that the checkpoint writes: "
            f"task.vocabulary: new makes a vocabulary of the training text; or leave them out: {row_list(empty)}"
        )
    durations = [seconds(cell) for cell in train["audio"]]
    longer = more_than_frames(labels, durations, processor.feature_extractor, config)
    too_long = [row for row, is_longer in enumerate(longer) if is_longer]
    if too_long:
        raise DataError(
            f"{len(too_long)} of {len(train)} rows of 'train' have more characters than frames to write them in, and "
            f"CTC needs a frame for each; leave them out: {row_list(too_long)}"
        )
    return _unknown_characters(splits, tokenizer, language) + _dotless_i(train, tokenizer, language)


def _dotless_i(rows: Dataset, tokenizer: Wav2Vec2CTCTokenizer, language: str | None) -> list[str]:
    """A warning where texts look Turkish, and their case is folded as in English."""
    texts, fold = rows["text"][:], _case(tokenizer)
    differ = sum(fold(text, None) != fold(text, _DOTLESS_I[0]) for text in texts)
    if language is not None or not differ or all(_TURKISH_LETTERS.isdisjoint(text) for text in texts):
        return []
    return [
        f"the training texts look Turkish, and {differ} of {len(texts)} are folded as in English, I to i: "
        "task.language: turkish (or azerbaijani) folds I to ı and İ to i"
    ]


def more_than_frames(
    labels: list[list[int]], durations: list[float], extractor: FeatureExtractionMixin, config: PretrainedConfig
) -> list[bool]:
    """Whether a text, as character ids, has more characters than its recording of so many seconds has frames."""
    rate = input_rate(extractor)
    return [
        _frames_needed(ids) > count_frames(config, round(duration * rate))
        for ids, duration in zip(labels, durations, strict=True)
    ]


def _frames_needed(ids: list[int]) -> int:
    """One a character, and a blank between equal ones."""
    return len(ids) + sum(a == b for a, b in zip(ids, ids[1:], strict=False))


def _unknown_characters(
    splits: Mapping[str, Dataset], tokenizer: Wav2Vec2CTCTokenizer, language: str | None
) -> list[str]:
    texts = (text for rows in splits.values() for text in rows["text"][:])
    counts = Counter(c for text in texts for c in spell(tokenizer, text, language))
    unknown = Counter({c: count for c, count in counts.items() if c not in _vocabulary(tokenizer)})
    if not unknown:
        return []
    named = ", ".join(f"{c!r} ({count})" for c, count in unknown.most_common(_NAMED))
    return [
        f"characters of the texts that the vocabulary lacks, and the model never writes: {named} "
        "(task.vocabulary: new makes one of the training text)"
    ]
