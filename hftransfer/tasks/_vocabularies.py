"""Vocabularies for models that write what they hear, made of the training text."""

import json
import tempfile
from pathlib import Path
from typing import Any

from hftransfer.core.errors import ModelError

_DELIMITER, _BLANK, _UNKNOWN = "|", "<pad>", "<unk>"


def generating_processor(extractor: Any, rows: Any, config: Any) -> Any:
    """Whisper's processor with a vocabulary of the training text's bytes and their most common pairs.

    The ids of its special tokens are written into the new model's config.
    """
    from tokenizers import ByteLevelBPETokenizer
    from transformers import WhisperProcessor, WhisperTokenizer

    special = ["<|endoftext|>", "<|startoftranscript|>", "<|transcribe|>", "<|notimestamps|>"]
    trained = ByteLevelBPETokenizer()
    trained.train_from_iterator(rows["text"][:], config.vocab_size, special_tokens=special, show_progress=False)
    with tempfile.TemporaryDirectory() as folder:
        files = trained.save_model(folder)
        tokenizer = WhisperTokenizer(*files, additional_special_tokens=special[1:])
    end, start = (tokenizer.convert_tokens_to_ids(token) for token in special[:2])
    ids = {"pad_token_id": end, "bos_token_id": end, "eos_token_id": end, "decoder_start_token_id": start}
    config.update(ids | {"vocab_size": len(tokenizer), "suppress_tokens": None, "begin_suppress_tokens": None})
    return WhisperProcessor(feature_extractor=extractor, tokenizer=tokenizer)


def ctc_processor(extractor: Any, rows: Any, _config: Any) -> Any:
    """A processor whose vocabulary is the characters of the training text, the blank first.

    Raises:
        ModelError: the extractor does not make waveforms.
    """
    from transformers import Wav2Vec2CTCTokenizer, Wav2Vec2FeatureExtractor, Wav2Vec2Processor

    if not isinstance(extractor, Wav2Vec2FeatureExtractor):
        raise ModelError(f"CTC is for models that hear waveforms, and {type(extractor).__name__} makes none")
    characters = sorted({c for text in rows["text"][:] for c in text.lower() if not c.isspace()} - {_DELIMITER})
    vocabulary = {c: i for i, c in enumerate([_BLANK, _UNKNOWN, _DELIMITER, *characters])}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "vocab.json"
        file.write_text(json.dumps(vocabulary), encoding="utf-8")
        tokenizer = Wav2Vec2CTCTokenizer(
            str(file), pad_token=_BLANK, unk_token=_UNKNOWN, bos_token=None, eos_token=None,
            word_delimiter_token=_DELIMITER,
        )  # fmt: skip
    return Wav2Vec2Processor(feature_extractor=extractor, tokenizer=tokenizer)
