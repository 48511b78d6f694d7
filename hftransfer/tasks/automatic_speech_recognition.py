"""A recording to what is said in it: by CTC (wav2vec2, HuBERT) or by generation (Whisper).

https://huggingface.co/docs/transformers/tasks/asr
"""

from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from hftransfer.core.compat import count_frames
from hftransfer.core.errors import DataError, ModelError
from hftransfer.core.features import Kind, seconds
from hftransfer.core.plugins import nearest
from hftransfer.metrics._scripts import uses_spaces
from hftransfer.tasks import IGNORED, Batch, Outputs, Task, _audio, stacked
from hftransfer.tasks._text2text import changes, generated
from hftransfer.tasks._vocabularies import ctc_processor, generating_processor


class AutomaticSpeechRecognition(Task):
    """Recordings to texts. Outputs: `ids`, and `logprobs`, by CTC of the likeliest character of each frame, by
    generation of the tokens written, and of those of the reference.
    """

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

    def check_row(self, row: dict[str, Any]) -> str | None:
        return _audio.row_fault(row, silent=False)

    def open_processor(self, read: Callable[..., Any], config: Any, rows: Any) -> Any:
        """The checkpoint's own, its vocabulary too, where it was trained to write; else one for the training text."""
        writes = self.vocabulary == "own" and any("ForCTC" in name for name in config.architectures or [])
        own = rows is None or config.is_encoder_decoder or writes
        made = read(self.auto_processor) if own else ctc_processor(read("AutoFeatureExtractor"), rows, config)
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
        made = (generating_processor if config.is_encoder_decoder else ctc_processor)(extractor, rows, config)
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
        _audio.check(self.processor.feature_extractor)
        if self._generates:
            # Before the text stand at most four tokens: start, language, task, no times.
            most = getattr(config, "max_target_positions", self.max_target_length + 4) - 4
            if self.max_target_length > most:
                raise ModelError(f"task.max_target_length: the checkpoint writes at most {most} tokens")
            heard = _audio.cut_off(splits, self.processor.feature_extractor)
            return heard + self._written_whole(splits, most + 4) + _unspaced(splits) + self._unsaid()
        rate = self.processor.feature_extractor.sampling_rate
        written = [self._ids(text) for text in splits["train"]["text"][:]]
        mute = [row for row, ids in enumerate(written) if not ids]
        if mute:
            raise DataError(
                f"{len(mute)} of {len(splits['train'])} rows of 'train' have no character that the checkpoint writes: "
                f"task.vocabulary: new makes a vocabulary of the training text; or leave them out: {_listed(mute)}"
            )
        long = []
        for row, (cell, ids) in enumerate(zip(splits["train"]["audio"], written, strict=True)):
            # Between equal characters CTC needs a blank.
            needed = len(ids) + sum(a == b for a, b in zip(ids, ids[1:], strict=False))
            if needed > count_frames(config, round(seconds(cell) * rate)):
                long.append(row)
        if long:
            raise DataError(
                f"{len(long)} of {len(splits['train'])} rows of 'train' have more characters than frames to write "
                f"them in, and CTC needs a frame for each; leave them out: {_listed(long)}"
            )
        return self._unwritten(splits) + _unspaced(splits)

    def _unwritten(self, splits: dict[str, Any]) -> list[str]:
        """A warning of characters that the model has no output for."""
        known = _vocabulary(self.processor.tokenizer)
        found = Counter(c for rows in splits.values() for text in rows["text"][:] for c in self._written(text))
        unknown = Counter({c: count for c, count in found.items() if c not in known})
        if not unknown:
            return []
        named = ", ".join(f"{c!r} ({n})" for c, n in unknown.most_common(12))
        return [
            f"characters of the texts that the vocabulary lacks, and the model never writes: {named} "
            "(task.vocabulary: new makes one of the training text)"
        ]

    def _unsaid(self) -> list[str]:
        """A warning where the checkpoint knows languages, and is told none."""
        if self.language is not None or "<|es|>" not in self.processor.tokenizer.get_vocab():
            return []
        return ["task.language is left out: training tells the model of no language, and scoring lets it guess one"]

    def _written_whole(self, splits: dict[str, Any], positions: int) -> list[str]:
        """A warning for each split with texts that generation ends before their end.

        Raises:
            DataError: a text to train on has more tokens than the decoder has positions.
        """
        told = []
        for split, rows in splits.items():
            counts = [len(self._ids(text)) for text in rows["text"][:]]
            if long := [row for row, count in enumerate(counts) if count > positions]:
                raise DataError(
                    f"{len(long)} of {len(counts)} rows of '{split}' have a text of more than the {positions} tokens "
                    f"that the checkpoint takes; leave them out: {_listed(long)}"
                )
            if split != "train" and (cut := sum(count > self.max_target_length + 4 for count in counts)):
                told.append(
                    f"{cut} of {len(counts)} texts of '{split}' have more than the {self.max_target_length} tokens "
                    "that are written: raise task.max_target_length"
                )
        return told

    def _written(self, text: str) -> str:
        """As the tokenizer spells it: in its case, with its delimiter between words."""
        tokenizer = self.processor.tokenizer
        return str(tokenizer.word_delimiter_token).join(_case(tokenizer)(text).split())

    def encode(self, rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
        name, arrays = _audio.extract_features(rows["audio"], self.processor.feature_extractor)
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
        known = _vocabulary(tokenizer)
        return [known[c] for c in self._written(text) if c in known]

    def collator(self) -> Callable[[list[dict[str, Any]]], Batch]:
        import torch

        collate = _audio.collator(self.processor.feature_extractor, self.architecture)

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
            inputs = {key: cells for key, cells in batch.items() if key != "labels"}
            return generated(model, inputs, batch.get("labels"), self.max_target_length, 1)
        logits = _audio.unpadded(model, batch, name)
        best = [array.argmax(axis=1) for array in logits]
        # The softmax of what is greatest, without the others.
        sure = [-np.log(np.exp(array - array.max(axis=1, keepdims=True)).sum(axis=1)) for array in logits]
        return {"ids": stacked(best), "logprobs": stacked(sure)}

    def postprocess(self, outputs: Outputs) -> np.ndarray:
        tokenizer = self.processor.tokenizer
        if self._generates:
            # Not every tokenizer of Whisper has a token for padding.
            ids = np.where(outputs["ids"] < 0, tokenizer.eos_token_id, outputs["ids"])
            texts = tokenizer.batch_decode(ids, skip_special_tokens=True)
        else:
            # What is no character is a blank; to skip it would make one character of two equal ones around it.
            none = [tokenizer.unk_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id]
            written = np.where(
                np.isin(outputs["ids"], [it for it in none if it is not None]), tokenizer.pad_token_id, outputs["ids"]
            )
            texts = [tokenizer.decode(ids[ids >= 0].tolist()) for ids in written]
        return np.array([" ".join(text.split()) for text in texts], dtype=object)

    def references(self, rows: Any) -> np.ndarray:
        return np.array([self._reference(text) for text in rows["text"][:]], dtype=object)

    def _reference(self, text: str) -> str:
        """In the vocabulary's case, which is the model's only one."""
        if self._generates:
            return " ".join(text.split())
        return self._written(text).replace(self.processor.tokenizer.word_delimiter_token, " ")

    def losses(self, outputs: Outputs, references: np.ndarray) -> np.ndarray:
        """The word error rate of each row."""
        import jiwer

        return np.array([jiwer.wer(r, p) for r, p in zip(references, self.postprocess(outputs), strict=True)])

    def read(self, text: str) -> dict[str, Any]:
        return _audio.given(text)

    def show(self, row: dict[str, Any], prediction: Any, reference: Any) -> dict[str, Any]:
        return _audio.shown(row["audio"]) | {"changes": changes(reference, prediction)}

    def answer(self, outputs: Outputs) -> dict[str, Any]:
        return {"text": self.postprocess(outputs)[0]}


def _unspaced(splits: dict[str, Any]) -> list[str]:
    """A warning where words cannot be told apart."""
    if uses_spaces(splits["test"]["text"][:]):
        return []
    return ["the texts have no spaces between words, so that wer counts whole texts: evaluation.metrics: [cer]"]


@lru_cache(maxsize=4)
def _vocabulary(tokenizer: Any) -> dict[str, int]:
    """Character -> id; the tokenizer itself makes it anew for each text."""
    found: dict[str, int] = tokenizer.get_vocab()
    return found


@lru_cache(maxsize=4)
def _case(tokenizer: Any) -> Callable[[str], str]:
    """To the case that the vocabulary is of, where it is of one alone."""
    letters = [c for c in _vocabulary(tokenizer) if len(c) == 1 and c.isalpha()]
    lower, upper = any(map(str.islower, letters)), any(map(str.isupper, letters))
    return str if lower == upper else str.upper if upper else str.lower


def _listed(rows: list[int]) -> str:
    return ", ".join(map(str, rows[:20])) + (", ..." if rows[20:] else "")
