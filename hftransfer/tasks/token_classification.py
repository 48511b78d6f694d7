"""A tag for each word: named entities, parts of speech.

https://huggingface.co/docs/transformers/tasks/token_classification
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from hftransfer.core.arrow import read_rows, with_column
from hftransfer.core.errors import ModelError
from hftransfer.core.features import Feature, Label, Words, class_names
from hftransfer.tasks import (
    IGNORED,
    Encoded,
    EncodedRow,
    Illustration,
    Model,
    ModelBatch,
    Outputs,
    Predictions,
    Processor,
    Rendered,
    Row,
    Rows,
    Side,
    Task,
)
from hftransfer.tasks import object_array as objects
from hftransfer.tasks._choice_hooks import Sampled, values_of
from hftransfer.tasks._limits import refuse_unknown_ids
from hftransfer.tasks._text import check_positions, padded, snippet_inputs, tokens_kept, truncated, truncated_shares

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PretrainedConfig

    from hftransfer.core.data_facts import InputFact


class TokenClassification(Task):
    """Words to tags. Outputs: `logits` of shape (rows, words, tags), of each word's first token."""

    inputs: ClassVar[dict[str, Feature]] = {"tokens": Words()}
    target: ClassVar[tuple[str, Feature] | None] = ("tags", Label())
    auto_model: ClassVar[str] = "AutoModelForTokenClassification"
    auto_processor: ClassVar[str] = "AutoTokenizer"
    metrics: ClassVar[list[str]] = ["seqeval"]
    refuses: ClassVar[dict[str, str]] = {"few_shot": "it compares rows of one class each, and these have a tag a word"}
    requires: ClassVar[dict[str, str]] = {"seqeval": "text"}
    tiny_model: ClassVar[str] = "bert"
    suggested_checkpoints = {"tokens": ("google-bert/bert-base-cased", "sample:minilm")}

    max_length: int = Field(default=256, ge=2, le=10**6)
    """Tokens kept of a text; words beyond count as `outside` when scored."""
    outside: str = "O"
    """The tag of words outside of all entities."""

    @classmethod
    def likeness(cls, columns: Mapping[str, str], rows: Sampled) -> float:
        """A list of tags is as long as that of its words."""
        pairs = list(zip(values_of(rows, "tokens"), values_of(rows, "tags"), strict=False))
        alike = all(isinstance(tags, list) and len(words) == len(tags) for words, tags in pairs)
        return 0.5 if pairs and alike else -3.0

    @property
    def has_class_targets(self) -> bool:
        return True

    def metric_options(self) -> dict[str, Any]:
        inside = [tag for tag in self.labels if tag != self.outside]
        if all(re.fullmatch("[BIESLUMW]([-_].+)?", tag, re.IGNORECASE) for tag in inside) and _have_prefixes(inside):
            return {"scheme": "chunks", "outside": self.outside}
        return {"scheme": "runs" if self.outside in self.labels else "words", "outside": self.outside}

    def open_processor(
        self, read: Callable[..., Processor], config: PretrainedConfig, rows: Dataset | None
    ) -> Processor:
        tokenizer = padded(read(self.auto_processor))
        if not tokenizer.is_fast:
            raise ModelError(
                f"{type(tokenizer).__name__} does not say which tokens belong to which word: take a checkpoint "
                "with a fast tokenizer (tokenizer.json)"
            )
        return tokenizer

    def check_row(self, row: Row) -> str | None:
        if "tags" not in row:
            return None
        words, tags = row["tokens"], row["tags"]
        if not isinstance(tags, list) or len(tags) != len(words):
            return f"there are {len(words)} tokens and {len(tags) if isinstance(tags, list) else 'no'} tags"
        return "a word has no tag" if None in tags else None

    def row_labels(self, rows: Dataset) -> list[list[str]] | None:
        names = class_names(rows.features["tags"])
        return [[names[t] if names and isinstance(t, int) else str(t) for t in tags] for tags in rows["tags"][:]]

    def find_labels(self, splits: Mapping[str, Dataset]) -> tuple[str, ...]:
        names = class_names(splits["train"].features["tags"])
        # A data set may name tags that its training rows lack: those of two words of the rarest entity.
        return tuple(names or sorted(super().find_labels(splits), key=lambda tag: (tag != self.outside, tag[2:], tag)))

    def index_labels(self, rows: Dataset) -> Dataset:
        from datasets import List, Value

        ids = {name: i for i, name in enumerate(self.labels)}
        column = [[ids[tag] for tag in tags] for tags in self.row_labels(rows) or []]
        return with_column(rows.remove_columns("tags"), "tags", column, feature=List(Value("int64")))

    def check(self, splits: Mapping[str, Dataset], config: PretrainedConfig) -> list[str]:
        check_positions(self.auto_model, config, self.max_length, self.processor)
        warnings = truncated(splits, "max_length", tokens_kept(self.max_length, self.processor), self._tokens)
        if all(tag.isdigit() for tag in self.labels):
            warnings.append(
                "the tags are numbers without names (data.names), from which no entities can be read: each word is "
                "scored"
            )
        elif self.metric_options()["scheme"] == "runs":
            some = ", ".join(self.labels[:6])
            warnings.append(f"the tags ({some}) have no B- before them: neighbours of one tag are one entity")
        return warnings

    def _tokens(self, rows: Rows) -> list[list[int]]:
        ids: list[list[int]] = self.processor(_joined(rows["tokens"]), verbose=False)["input_ids"]
        refuse_unknown_ids(ids, self.processor, self.architecture)
        return ids

    def input_facts(self, rows: Dataset) -> dict[InputFact, np.ndarray]:
        _, first = self._tokenize(rows["tokens"][:])
        pairs, outside = zip(rows["tags"][:], first, strict=True), {self.outside}
        lost = [set(self._tags(tags[len(positions) :])) - outside for tags, positions in pairs]
        shares = truncated_shares(self._tokens(read_rows(rows)), tokens_kept(self.max_length, self.processor))
        return {"truncated": shares, "label_lost": np.array(lost, dtype=bool)}

    def encode(self, rows: Rows) -> Encoded:
        inputs, first = self._tokenize(rows["tokens"])
        refuse_unknown_ids(inputs["input_ids"], self.processor, self.architecture)
        lengths = [len(ids) for ids in inputs["input_ids"]]
        if "tags" in rows:
            inputs["labels"] = []
            for tags, positions, length in zip(rows["tags"], first, lengths, strict=True):
                at = dict(zip(positions, tags, strict=False))
                inputs["labels"].append([at.get(position, IGNORED) for position in range(length)])
        return Encoded(inputs, side={"first": first}, length=lengths)

    def _tokenize(self, texts: list[list[str]]) -> tuple[dict[str, list[list[int]]], list[list[int]]]:
        """Model inputs, and the position of each word's first token, without those of words that are truncated.

        Tokenizers may write a word in another way where a text begins than after a space. The words are tokenized as
        one text with spaces, which is what `transformers.pipeline` reads. Every word gets a token: one for which the
        tokenizer has none (a lone control character) is unknown.
        """
        inputs, first = self._tokenize_as_text(texts)
        if any(None in positions for positions in first):
            unknown = self.processor.unk_token or self.processor.pad_token
            replaced = [[word if self.processor.tokenize(word) else unknown for word in words] for words in texts]
            inputs, first = self._tokenize_as_text(replaced)
        return inputs, [[position for position in positions if position is not None] for positions in first]

    def _tokenize_as_text(self, texts: list[list[str]]) -> tuple[dict[str, list[list[int]]], list[list[int | None]]]:
        length = tokens_kept(self.max_length, self.processor)
        inputs = dict(self.processor(_joined(texts), truncation=True, max_length=length, return_offsets_mapping=True))
        offsets = inputs.pop("offset_mapping")
        return inputs, [_first_tokens(*pair) for pair in zip(texts, offsets, strict=True)]

    def collate(self, encoded: list[EncodedRow]) -> ModelBatch:
        from transformers import DataCollatorForTokenClassification

        return dict(DataCollatorForTokenClassification(self.processor, label_pad_token_id=IGNORED)(encoded))

    def outputs(self, model: Model, batch: ModelBatch, side: Side) -> Outputs:
        inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
        logits = model(**inputs).logits.float().cpu().numpy()
        words = np.full((len(logits), max(map(len, side["first"])), logits.shape[-1]), np.nan, dtype=np.float32)
        for row, positions in enumerate(side["first"]):
            words[row, : len(positions)] = logits[row, positions]
        return {"logits": words}

    def postprocess(self, outputs: Outputs, side: Side) -> Predictions:
        return objects([self._tags(words[~np.isnan(words[:, 0])].argmax(axis=1)) for words in outputs["logits"]])

    def references(self, rows: Dataset) -> Predictions:
        return objects([self._tags(tags) for tags in rows["tags"][:]])

    def _tags(self, ids: Sequence[int]) -> list[str]:
        return [self.labels[int(i)] for i in ids]

    def wrong(self, reference: list[str], prediction: list[str]) -> list[str]:
        """Each word has the next tag."""
        return [self.labels[(self.labels.index(tag) + 1) % len(self.labels)] for tag in reference]

    def error(self, prediction: list[str], reference: list[str]) -> float:
        """Share of the words that are wrong; words beyond `max_length` have no tag, and are."""
        wrong = sum(a != b for a, b in zip(prediction, reference, strict=False))
        return (wrong + abs(len(reference) - len(prediction))) / max(len(reference), 1)

    def pseudo_labels(self, outputs: Outputs, side: Side) -> list[Any]:
        return [[self.labels.index(tag) for tag in tags] for tags in self.postprocess(outputs, side)]

    def describe(self, value: Any) -> str:
        return " ".join(value)

    def runtime_snippet(self) -> str:
        encode = 'words = "A text.".split()\nmade = tokenizer.encode(" ".join(words))'
        return snippet_inputs(self.max_length, self.processor, encode) + (
            'names = json.loads((folder / "config.json").read_text())["id2label"]\n'
            "tags = session.run(None, inputs)[0][0].argmax(axis=1)\n"
            'starts = [len(" ".join([*words[:word], ""])) for word in range(len(words))]\n'
            "first = [next(at for at, (_, end) in enumerate(made.offsets) if end > start) for start in starts]\n"
            "print([names[str(tags[at])] for at in first])"
        )

    def render(self, row: Row, prediction: Any, reference: Any) -> Rendered:
        changes: list[tuple[str, str]] = []
        padded_prediction = [*prediction, *[self.outside] * (len(reference) - len(prediction))]
        for word, predicted, true in zip(row["tokens"], padded_prediction, reference, strict=True):
            right = word if true == self.outside else f"{word} [{true}]"
            changes += [("=", right)] if predicted == true else [("-", f"{word} [{true}]"), ("+", f"[{predicted}]")]
        return {"changes": changes}

    def respond(self, outputs: Outputs, side: Side) -> dict[str, Any]:
        return {"tags": self.postprocess(outputs, side)[0]}

    def illustrate(self, row: Row, outputs: Outputs, side: Side) -> Illustration:
        """The words, those of one entity together."""
        tags = self.postprocess(outputs, side)[0]
        spans: list[tuple[str, str | None]] = []
        for word, tag in zip_longest(row["tokens"], tags, fillvalue=self.outside):
            prefix, _, entity = tag.rpartition("-")
            if prefix in ("I", "E", "L") and spans and spans[-1][1] == entity:
                word = f"{spans.pop()[0]} {word}"
            spans.append((word, None if tag == self.outside else entity))
        return Illustration(spans=tuple(spans))

    def tiny_row(self, number: int) -> Row:
        return {"tags": [f"B-{'XY'[number % 2]}", "O"]}


def _have_prefixes(tags: list[str]) -> bool:
    """Whether some of the tags say where an entity begins, or what is within one."""
    return not tags or any(tag[0] in "BIbi" or len(tag) > 1 for tag in tags)


def _joined(texts: list[list[str]]) -> list[str]:
    return [" ".join(words) for words in texts]


def _first_tokens(words: list[str], offsets: list[tuple[int, int]]) -> list[int | None]:
    """Positions of the first token of each word, by where in the joined text the tokens begin and end.

    None stands for a word without a token, before another that has one; words after the last token are left out.
    """
    first: list[int | None] = []
    token = start = 0
    for word in words:
        # Special tokens begin and end at 0.
        while token < len(offsets) and offsets[token][1] <= start:
            token += 1
        if token == len(offsets):
            break
        first.append(token if offsets[token][0] < start + len(word) else None)
        start += len(word) + 1
    return first
