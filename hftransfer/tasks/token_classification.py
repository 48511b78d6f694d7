"""A tag for each word: named entities, parts of speech.

https://huggingface.co/docs/transformers/tasks/token_classification
"""

import re
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from hftransfer.core.errors import ModelError
from hftransfer.core.features import Kind, class_names
from hftransfer.tasks import IGNORED, Batch, Outputs, Task
from hftransfer.tasks._text import check_positions, cut, longest, padded, plain_inputs


class TokenClassification(Task):
    """Words to tags. Outputs: `logits` of shape (rows, words, tags), of each word's first token."""

    columns: ClassVar[dict[str, Kind]] = {"tokens": "words", "tags": "label"}
    targets: ClassVar[frozenset[str]] = frozenset({"tags"})
    auto_model: ClassVar[str] = "AutoModelForTokenClassification"
    auto_processor: ClassVar[str] = "AutoTokenizer"
    requires: ClassVar[dict[str, str]] = {"seqeval": "text"}

    max_length: int = Field(default=256, ge=2)
    """Tokens kept of a text; words beyond count as `outside` when scored."""
    outside: str = "O"
    """The tag of words that belong to nothing."""

    @property
    def one_class(self) -> bool:
        return True

    def metrics(self) -> list[str]:
        return ["seqeval"]

    def metric_options(self) -> dict[str, Any]:
        inside = [tag for tag in self.labels if tag != self.outside]
        if all(re.fullmatch("[BIESLUMW]([-_].+)?", tag, re.IGNORECASE) for tag in inside) and _begins(inside):
            return {"scheme": "chunks", "outside": self.outside}
        return {"scheme": "runs" if self.outside in self.labels else "words", "outside": self.outside}

    def open_processor(self, read: Callable[..., Any], config: Any, rows: Any) -> Any:
        try:
            # Tokenizers of the GPT-2 family take words only with this.
            made = padded(read(self.auto_processor, add_prefix_space=True))
        except ModelError:
            # Those of T5 and Llama would be made anew for it, out of files that need not be there.
            made = padded(read(self.auto_processor))
        if not made.is_fast:
            raise ModelError(
                f"{type(made).__name__} does not tell which tokens are of which word: take a checkpoint "
                "with a fast tokenizer (tokenizer.json)"
            )
        return made

    def check_row(self, row: dict[str, Any]) -> str | None:
        if "tags" not in row:
            return None
        words, tags = row["tokens"], row["tags"]
        if not isinstance(tags, list) or len(tags) != len(words):
            return f"there are {len(words)} tokens and {len(tags) if isinstance(tags, list) else 'no'} tags"
        return "a word has no tag" if None in tags else None

    def named(self, rows: Any) -> list[list[str]] | None:
        own = class_names(rows.features["tags"])
        return [[own[tag] if own and isinstance(tag, int) else str(tag) for tag in tags] for tags in rows["tags"][:]]

    def find_labels(self, splits: dict[str, Any]) -> tuple[str, ...]:
        own = class_names(splits["train"].features["tags"])
        # A data set may name tags that its training rows lack: those of two words of the rarest entity.
        return tuple(own or sorted(super().find_labels(splits), key=lambda tag: (tag != self.outside, tag[2:], tag)))

    def index(self, rows: Any) -> Any:
        from datasets import List, Value

        ids = {name: i for i, name in enumerate(self.labels)}
        column = [[ids[tag] for tag in tags] for tags in self.named(rows) or []]
        return rows.remove_columns("tags").add_column("tags", column, feature=List(Value("int64")))

    def check(self, splits: dict[str, Any], config: Any) -> list[str]:
        check_positions(self.max_length, self.processor, config)
        told = cut(splits, "max_length", longest(self.max_length, self.processor), self._tokens)
        if all(tag.isdigit() for tag in self.labels):
            told.append(
                "the tags are numbers without names (data.names), of which no entities can be told: each word is scored"
            )
        elif self.metric_options()["scheme"] == "runs":
            some = ", ".join(self.labels[:6])
            told.append(f"the tags ({some}) have no B- before them: neighbours of one tag are one entity")
        return told

    def _tokens(self, rows: dict[str, list[Any]]) -> Any:
        return self.processor(rows["tokens"], is_split_into_words=True, verbose=False)["input_ids"]

    def encode(self, rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
        made = self._tokenized(rows["tokens"])
        encoded = dict(made)
        encoded["first"] = [_first_tokens(made.word_ids(i)) for i in range(len(rows["tokens"]))]
        encoded["length"] = [len(ids) for ids in encoded["input_ids"]]
        if "tags" in rows:
            encoded["labels"] = []
            for tags, first, length in zip(rows["tags"], encoded["first"], encoded["length"], strict=True):
                at = dict(zip(first, tags, strict=False))
                encoded["labels"].append([at.get(position, IGNORED) for position in range(length)])
        return encoded

    def _tokenized(self, texts: list[list[str]]) -> Any:
        """Every word has a token: one that the tokenizer knows nothing of (a lone control character) is unknown."""
        length = longest(self.max_length, self.processor)
        made = self.processor(texts, is_split_into_words=True, truncation=True, max_length=length)
        kept = [set(made.word_ids(row)) - {None} for row in range(len(texts))]
        if all(len(words) == max(words, default=-1) + 1 for words in kept):
            return made
        unknown = self.processor.unk_token or self.processor.pad_token
        solid = [[word if self.processor.tokenize(word) else unknown for word in words] for words in texts]
        return self.processor(solid, is_split_into_words=True, truncation=True, max_length=length)

    def collator(self) -> Callable[[list[dict[str, Any]]], Batch]:
        from transformers import DataCollatorForTokenClassification

        pad = DataCollatorForTokenClassification(self.processor, label_pad_token_id=IGNORED)

        def collate(rows: list[dict[str, Any]]) -> Batch:
            batch = dict(pad([{k: v for k, v in row.items() if k not in ("length", "first")} for row in rows]))
            return batch | {"first": [row["first"] for row in rows]} if "labels" not in batch else batch

        return collate

    def predict(self, model: Any, batch: Batch) -> Outputs:
        inputs = {name: tensor for name, tensor in batch.items() if name not in ("labels", "first")}
        logits = model(**inputs).logits.float().cpu().numpy()
        first = (
            batch["first"] if "first" in batch else [np.flatnonzero(row != IGNORED) for row in batch["labels"].cpu()]
        )
        words = np.full((len(logits), max(map(len, first)), logits.shape[-1]), np.nan, dtype=np.float32)
        for row, positions in enumerate(first):
            words[row, : len(positions)] = logits[row, positions]
        return {"logits": words}

    def postprocess(self, outputs: Outputs) -> np.ndarray:
        return _ragged([self._tags(logits[~np.isnan(logits[:, 0])].argmax(axis=1)) for logits in outputs["logits"]])

    def references(self, rows: Any) -> np.ndarray:
        return _ragged([self._tags(tags) for tags in rows["tags"][:]])

    def _tags(self, ids: Any) -> list[str]:
        return [self.labels[int(i)] for i in ids]

    def same(self, mine: np.ndarray, theirs: np.ndarray, references: np.ndarray) -> np.ndarray:
        return np.array([one == other for one, other in zip(mine, theirs, strict=True)])

    def answers(self, outputs: Outputs) -> list[Any]:
        return [[self.labels.index(tag) for tag in tags] for tags in self.postprocess(outputs)]

    def losses(self, outputs: Outputs, references: np.ndarray) -> np.ndarray:
        """Share of a row's words that are wrong."""
        decided = self.postprocess(outputs)
        missing = [len(r) - len(p) for p, r in zip(decided, references, strict=True)]
        wrong = [sum(a != b for a, b in zip(p, r, strict=False)) for p, r in zip(decided, references, strict=True)]
        return np.array([(w + m) / len(r) for w, m, r in zip(wrong, missing, references, strict=True)])

    def describe(self, value: Any) -> str:
        return " ".join(value)

    def plain(self) -> str:
        encode = 'words = "A text.".split()\nmade = tokenizer.encode(words, is_pretokenized=True)'
        return plain_inputs(self.max_length, self.processor, encode) + (
            'names = json.loads((folder / "config.json").read_text())["id2label"]\n'
            "tags = session.run(None, inputs)[0][0].argmax(axis=1)\n"
            "first = [made.word_ids.index(word) for word in range(len(words)) if word in made.word_ids]\n"
            "print([names[str(tags[at])] for at in first])"
        )

    def read(self, text: str) -> dict[str, Any]:
        return {"tokens": text.split()}

    def show(self, row: dict[str, Any], prediction: Any, reference: Any) -> dict[str, Any]:
        changes: list[tuple[str, str]] = []
        found = [*prediction, *[self.outside] * (len(reference) - len(prediction))]
        for word, mine, theirs in zip(row["tokens"], found, reference, strict=True):
            right = word if theirs == self.outside else f"{word} [{theirs}]"
            changes += [("=", right)] if mine == theirs else [("-", f"{word} [{theirs}]"), ("+", f"[{mine}]")]
        return {"changes": changes}

    def answer(self, outputs: Outputs) -> dict[str, Any]:
        return {"tags": self.postprocess(outputs)[0]}


def _begins(tags: list[str]) -> bool:
    """Whether some of them say where an entity begins, or what is within one."""
    return not tags or any(tag[0] in "BIbi" or len(tag) > 1 for tag in tags)


def _first_tokens(words: list[int | None]) -> list[int]:
    """Positions of the tokens that begin a word."""
    return [i for i, word in enumerate(words) if word is not None and (i == 0 or words[i - 1] != word)]


def _ragged(lists: list[Any]) -> np.ndarray:
    """An array of lists, which NumPy would make a table of where they are of one length."""
    found = np.empty(len(lists), dtype=object)
    found[:] = lists
    return found
