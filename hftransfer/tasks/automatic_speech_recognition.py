"""A recording to what is said in it: by CTC (wav2vec2, HuBERT) or by generation (Whisper).

https://huggingface.co/docs/transformers/tasks/asr
"""

import json
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from hftransfer.cells import Kind, seconds
from hftransfer.errors import DataError, ModelError
from hftransfer.metrics._scripts import spaced
from hftransfer.plugins import nearest
from hftransfer.tasks import IGNORED, Batch, Outputs, Task, _audio
from hftransfer.tasks._text2text import changes, generated

_DELIMITER, _BLANK, _UNKNOWN = "|", "<pad>", "<unk>"


class AutomaticSpeechRecognition(Task):
    """Recordings to texts. Outputs: `logits` (rows, frames, characters) by CTC; `ids`, `logprobs` by generation."""

    columns: ClassVar[dict[str, Kind]] = {"audio": "audio", "text": "text"}
    targets: ClassVar[frozenset[str]] = frozenset({"text"})
    auto_model: ClassVar[str] = "AutoModelForCTC"
    auto_processor: ClassVar[str] = "AutoProcessor"
    requires: ClassVar[dict[str, str]] = {"soundfile": "speech", "soxr": "speech", "jiwer": "speech"}

    max_target_length: int = Field(default=128, ge=2)
    """Tokens written at most, by generation."""
    language: str | None = None
    """What is spoken, as Whisper names it (`es` or `spanish`); left out, it hears that for itself, row by row."""
    vocabulary: Literal["own", "new"] = "own"
    """Of a checkpoint that writes by CTC: its own, or the characters of the training text (another language)."""

    def metrics(self) -> list[str]:
        return ["wer", "cer"]

    def model_class(self, config: Any) -> str:
        return "AutoModelForSpeechSeq2Seq" if config.is_encoder_decoder else self.auto_model

    def fault(self, row: dict[str, Any]) -> str | None:
        return _audio.fault(row)

    def open_processor(self, read: Callable[..., Any], config: Any, rows: Any) -> Any:
        """The checkpoint's own, its vocabulary too, where it was trained to write; else one for the training text."""
        writes = self.vocabulary == "own" and any("ForCTC" in name for name in config.architectures or [])
        own = rows is None or config.is_encoder_decoder or writes
        made = read(self.auto_processor) if own else _ctc_processor(read("AutoFeatureExtractor"), rows, config)
        return self._speaking(made)

    def _speaking(self, processor: Any) -> Any:
        """The processor, set to the task's language.

        Raises:
            ModelError: it knows no languages, or not this one.
        """
        if self.language is None:
            return processor
        from transformers.models.whisper.tokenization_whisper import TO_LANGUAGE_CODE as CODES

        spoken = self.language.lower()
        code, known = CODES.get(spoken, spoken), processor.tokenizer.get_vocab()
        if "<|transcribe|>" not in known:
            raise ModelError("task.language is for Whisper: the checkpoint's tokenizer knows no languages")
        if f"<|{code}|>" not in known:
            names = [name for name, short in CODES.items() if f"<|{short}|>" in known]
            raise ModelError(
                f"task.language: the checkpoint has no language '{self.language}'; {nearest(spoken, names)}"
            )
        processor.tokenizer.set_prefix_tokens(language=code, task="transcribe")
        return processor

    def finish(self, model: Any) -> None:
        """Leave the language where generation looks for it."""
        if self.language is not None:
            model.generation_config.update(language=self.processor.tokenizer.language, task="transcribe")

    def new_processor(self, config: Any, rows: Any) -> Any:
        extractor = _audio.new_extractor(config)
        if extractor is None:
            return super().new_processor(config, rows)
        made = (_generating_processor if config.is_encoder_decoder else _ctc_processor)(extractor, rows, config)
        return self._speaking(made)

    def config(self) -> dict[str, Any]:
        if self.processor is None or self._generates:
            return {}
        tokenizer = self.processor.tokenizer
        # The sum over frames, as in the paper (Graves et al. 2006), would weigh long rows more than short ones.
        fields = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id, "ctc_loss_reduction": "mean"}
        return fields | {"ctc_zero_infinity": True}

    @property
    def _generates(self) -> bool:
        return not hasattr(self.processor.tokenizer, "word_delimiter_token")

    def check(self, splits: dict[str, Any], config: Any) -> list[str]:
        if self._generates:
            # Before the text stand at most four tokens: start, language, task, no times.
            most = getattr(config, "max_target_positions", self.max_target_length + 4) - 4
            if self.max_target_length > most:
                raise ModelError(f"task.max_target_length: the checkpoint writes at most {most} tokens")
            heard = _audio.cut_off(splits, self.processor.feature_extractor)
            return heard + self._written_whole(splits, most + 4) + _unspaced(splits)
        from transformers import AutoModelForCTC

        kind = AutoModelForCTC._model_mapping[type(config)]
        frames, rate = kind._get_feat_extract_output_lengths, self.processor.feature_extractor.sampling_rate
        known, unknown = set(self.processor.tokenizer.get_vocab()), Counter[str]()
        for split, rows in splits.items():
            for row, (cell, text) in enumerate(zip(rows["audio"], rows["text"], strict=True)):
                written = self._written(text)
                if split == "train":
                    count = int(frames(_Sizes(config), round(seconds(cell) * rate)))
                    # Between equal characters CTC needs a blank.
                    needed = len(written) + sum(a == b for a, b in zip(written, written[1:], strict=False))
                    if needed > count:
                        raise DataError(
                            f"row {row} of 'train' has {needed} characters to write in {count} frames "
                            f"('{text[:40]}'): CTC needs a frame for each; leave such rows out"
                        )
                else:
                    unknown.update(c for c in written if c not in known)
        named = ", ".join(f"{c!r} ({n})" for c, n in unknown.most_common(12))
        lacks = [f"characters of validation and test that the vocabulary of the training text lacks: {named}"]
        return (lacks if unknown else []) + _unspaced(splits)

    def _written_whole(self, splits: dict[str, Any], positions: int) -> list[str]:
        """A warning for each split with texts that generation ends before their end.

        Raises:
            DataError: a text to train on has more tokens than the decoder has positions.
        """
        told = []
        for split, rows in splits.items():
            counts = [len(self._ids(text)) for text in rows["text"]]
            if max(counts) > positions:
                row = counts.index(max(counts))
                raise DataError(
                    f"row {row} of '{split}' has a text of {counts[row]} tokens, and the checkpoint takes {positions}"
                )
            if split != "train" and (cut := sum(count > self.max_target_length + 4 for count in counts)):
                told.append(
                    f"{cut} of {len(counts)} texts of '{split}' have more than the {self.max_target_length} tokens "
                    "that are written: raise task.max_target_length"
                )
        return told

    def _written(self, text: str) -> str:
        """As the tokenizer spells it: in its case, with its delimiter between words."""
        known = self.processor.tokenizer.get_vocab()
        lower = any(c.isalpha() and c.islower() for c in known if len(c) == 1)
        upper = any(c.isalpha() and c.isupper() for c in known if len(c) == 1)
        cased = text.upper() if upper and not lower else text.lower() if lower and not upper else text
        return str(self.processor.tokenizer.word_delimiter_token).join(cased.split())

    def encode(self, rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
        name, arrays = _audio.features(rows["audio"], self.processor.feature_extractor)
        encoded: dict[str, list[Any]] = {name: arrays, "length": [len(array) for array in arrays]}
        if "text" in rows:
            encoded["labels"] = [np.array(self._ids(text), dtype=np.int64) for text in rows["text"]]
        return encoded

    def _ids(self, text: str) -> list[int]:
        tokenizer = self.processor.tokenizer
        if self._generates:
            ids: list[int] = tokenizer(text).input_ids
            # The model itself puts the first token before its input.
            return ids[1:] if ids[0] == tokenizer.convert_tokens_to_ids("<|startoftranscript|>") else ids
        written = self._written(text)
        return [tokenizer.convert_tokens_to_ids(c) for c in written]

    def collator(self) -> Callable[[list[dict[str, Any]]], Batch]:
        import torch

        collate = _audio.collator(self.processor.feature_extractor)

        def with_labels(rows: list[dict[str, Any]]) -> Batch:
            batch = collate(rows)
            if "labels" in rows[0]:
                labels = [torch.tensor(row["labels"]) for row in rows]
                batch["labels"] = torch.nn.utils.rnn.pad_sequence(labels, batch_first=True, padding_value=IGNORED)
            return batch

        return with_labels

    def predict(self, model: Any, batch: Batch) -> Outputs:
        name = self.processor.feature_extractor.model_input_names[0]
        if self._generates:
            return generated(model, {name: batch[name]}, batch.get("labels"), self.max_target_length, 1)
        logits = _audio.unpadded(model, batch, name)
        frames = max(map(len, logits))
        return {"logits": np.stack([np.pad(a, ((0, frames - len(a)), (0, 0)), constant_values=np.nan) for a in logits])}

    def decide(self, outputs: Outputs) -> np.ndarray:
        tokenizer = self.processor.tokenizer
        if self._generates:
            # Not every tokenizer of Whisper has a token for padding.
            ids = np.where(outputs["ids"] < 0, tokenizer.eos_token_id, outputs["ids"])
            texts = tokenizer.batch_decode(ids, skip_special_tokens=True)
        else:
            best = [logits[~np.isnan(logits[:, 0])].argmax(axis=1) for logits in outputs["logits"]]
            texts = [tokenizer.decode(ids.tolist()) for ids in best]
        return np.array([" ".join(text.split()) for text in texts], dtype=object)

    def references(self, rows: Any) -> np.ndarray:
        return np.array([self._reference(text) for text in rows["text"]], dtype=object)

    def _reference(self, text: str) -> str:
        """In the vocabulary's case, which is the model's only one."""
        if self._generates:
            return " ".join(text.split())
        return self._written(text).replace(self.processor.tokenizer.word_delimiter_token, " ")

    def losses(self, outputs: Outputs, references: np.ndarray) -> np.ndarray:
        """The word error rate of each row."""
        import jiwer

        return np.array([jiwer.wer(r, p) for r, p in zip(references, self.decide(outputs), strict=True)])

    def read(self, text: str) -> dict[str, Any]:
        return _audio.given(text)

    def show(self, row: dict[str, Any], prediction: Any, reference: Any) -> dict[str, Any]:
        return _audio.shown(row["audio"]) | {"changes": changes(reference, prediction)}

    def answer(self, outputs: Outputs) -> dict[str, Any]:
        return {"text": self.decide(outputs)[0]}


def _unspaced(splits: dict[str, Any]) -> list[str]:
    """A warning where words cannot be told apart."""
    if spaced(splits["test"]["text"]):
        return []
    return ["the texts have no spaces between words, so that wer counts whole texts: evaluation.metrics: [cer]"]


class _Sizes:
    """Stands for a model where Transformers counts the frames of its convolutions."""

    def __init__(self, config: Any) -> None:
        self.config = config


def _generating_processor(extractor: Any, rows: Any, config: Any) -> Any:
    """Whisper's processor with a vocabulary of the training text's bytes and their most common pairs.

    The ids of its special tokens are written into the new model's config.
    """
    from tokenizers import ByteLevelBPETokenizer
    from transformers import WhisperProcessor, WhisperTokenizer

    special = ["<|endoftext|>", "<|startoftranscript|>", "<|transcribe|>", "<|notimestamps|>"]
    trained = ByteLevelBPETokenizer()
    trained.train_from_iterator(rows["text"], config.vocab_size, special_tokens=special, show_progress=False)
    with tempfile.TemporaryDirectory() as folder:
        files = trained.save_model(folder)
        tokenizer = WhisperTokenizer(*files, additional_special_tokens=special[1:])
    end, start = (tokenizer.convert_tokens_to_ids(token) for token in special[:2])
    ids = {"pad_token_id": end, "bos_token_id": end, "eos_token_id": end, "decoder_start_token_id": start}
    config.update(ids | {"vocab_size": len(tokenizer), "suppress_tokens": None, "begin_suppress_tokens": None})
    return WhisperProcessor(feature_extractor=extractor, tokenizer=tokenizer)


def _ctc_processor(extractor: Any, rows: Any, _config: Any) -> Any:
    """A processor whose vocabulary is the characters of the training text, the blank first.

    Raises:
        ModelError: the extractor does not make waveforms.
    """
    from transformers import Wav2Vec2CTCTokenizer, Wav2Vec2FeatureExtractor, Wav2Vec2Processor

    if not isinstance(extractor, Wav2Vec2FeatureExtractor):
        raise ModelError(f"CTC is for models that hear waveforms, and {type(extractor).__name__} makes none")
    characters = sorted({c for text in rows["text"] for c in text.lower() if not c.isspace()} - {_DELIMITER})
    vocabulary = {c: i for i, c in enumerate([_BLANK, _UNKNOWN, _DELIMITER, *characters])}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "vocab.json"
        file.write_text(json.dumps(vocabulary), encoding="utf-8")
        tokenizer = Wav2Vec2CTCTokenizer(
            str(file), pad_token=_BLANK, unk_token=_UNKNOWN, bos_token=None, eos_token=None,
            word_delimiter_token=_DELIMITER,
        )  # fmt: skip
    return Wav2Vec2Processor(feature_extractor=extractor, tokenizer=tokenizer)
