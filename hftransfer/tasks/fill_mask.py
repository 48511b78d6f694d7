"""Hidden words of texts are predicted: a checkpoint goes on learning the language of texts that have no labels.

Masking as in BERT (Devlin et al. 2019, https://arxiv.org/abs/1810.04805, section 3.1); for a target domain before its
few labels, Gururangan et al. 2020, https://arxiv.org/abs/2004.10964. The run is a checkpoint for any recipe on texts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import Field

from hftransfer.core.errors import ModelError
from hftransfer.core.features import Feature, Text
from hftransfer.core.results import JsonObject
from hftransfer.tasks import IGNORED, Encoded, ModelBatch, Outputs, Rows, Side, stack
from hftransfer.tasks._limits import check_sampled_ids, refuse_unknown_ids, vocabulary_size
from hftransfer.tasks._masked_rows import MaskedRows, row_rng
from hftransfer.tasks._text import check_positions, snippet_inputs, tokens_kept
from hftransfer.tasks._types import EncodedRow, Model, Row

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PretrainedConfig

# Tokens that `predict` names for a mask.
_GUESSES = 5


class FillMask(MaskedRows):
    """Texts to their hidden words. Inputs: `input_ids` and `attention_mask` of shape (batch, tokens).

    Training sees a random part of a longer text and other masks in each epoch; scoring sees its beginning, with masks
    that depend on the text alone. Outputs hold `guesses` too, the five likeliest tokens of each hidden place, of shape
    (rows, hidden places, 5).
    """

    inputs: ClassVar[dict[str, Feature]] = {"text": Text()}
    auto_model: ClassVar[str] = "AutoModelForMaskedLM"
    auto_processor: ClassVar[str] = "AutoTokenizer"
    tiny_model: ClassVar[str] = "bert"
    suggested_checkpoints = {"text": ("distilbert/distilbert-base-uncased", "sample:minilm")}

    max_length: int = Field(default=128, ge=4, le=10**6)
    """Tokens of a text that the model sees at a time."""
    mlm_probability: float = Field(default=0.15, gt=0, lt=1)
    """Share of the tokens to predict: of ten, eight are masked, one is replaced at random, one is left as it is."""

    @property
    def has_class_targets(self) -> bool:
        """A token is a class."""
        return True

    @property
    def pipeline_example(self) -> str:
        return 'f"Put your {pipe.tokenizer.mask_token} here."'

    def check(self, splits: Mapping[str, Dataset], config: PretrainedConfig) -> list[str]:
        check_positions(self.auto_model, config, self.max_length, self.processor)
        if self.processor.mask_token_id is None:
            raise ModelError(
                f"the tokenizer of this {config.model_type} has no mask token, and 'fill-mask' hides words by it"
            )
        check_sampled_ids(splits, self.processor, config, self.encode)
        return []

    def encode(self, rows: Rows) -> Encoded:
        ids = self.processor(rows["text"], verbose=False)["input_ids"]
        refuse_unknown_ids([*ids, [self.processor.mask_token_id]], self.processor, self.architecture)
        length = tokens_kept(self.max_length, self.processor)
        return Encoded({"input_ids": ids}, length=[min(len(row_ids), length) for row_ids in ids])

    @property
    def augments(self) -> bool:
        return True

    def augment(self, row: EncodedRow, rng: np.random.Generator) -> EncodedRow:
        return self._mask(self._window(row["input_ids"], rng), rng)

    def _window(self, ids: list[int], rng: np.random.Generator | None) -> np.ndarray:
        """As many tokens of a text as the model sees at a time, between the special tokens that frame it.

        They begin at a random place, without `rng` at the first word.
        """
        whole, room = np.array(ids), tokens_kept(self.max_length, self.processor)
        if len(whole) <= room:
            return whole
        frame = set(self.processor.all_special_ids) - {self.processor.unk_token_id, self.processor.mask_token_id}
        inner = np.flatnonzero(~np.isin(whole, list(frame)))
        first, end = int(inner[0]), int(inner[-1]) + 1
        size = room - first - (len(whole) - end)
        start = first if rng is None else int(rng.integers(first, end - size + 1))
        return np.concatenate([whole[:first], whole[start : start + size], whole[end:]])

    def _mask(self, ids: np.ndarray, rng: np.random.Generator) -> EncodedRow:
        """Some of the tokens hidden; `labels` are their ids, and elsewhere what the loss ignores."""
        tokenizer = self.processor
        labels = np.full(len(ids), IGNORED)
        if (ids == tokenizer.mask_token_id).any():
            # The text came with masks, as `predict` takes them.
            labels[ids == tokenizer.mask_token_id] = tokenizer.mask_token_id
            return {"input_ids": ids, "labels": labels}
        words = np.flatnonzero(~np.isin(ids, tokenizer.all_special_ids))
        if len(words):
            chosen = words[rng.permutation(len(words))[: max(1, round(self.mlm_probability * len(words)))]]
            labels[chosen] = ids[chosen]
            fate = rng.random(len(chosen))
            # A short text has one mask at least.
            fate[0] = 0.0
            ids[chosen[fate < 0.8]] = tokenizer.mask_token_id
            replaced = chosen[fate >= 0.9]
            # A tokenizer may have more tokens than the model has embeddings for.
            size = min(len(tokenizer), vocabulary_size(self.architecture) or len(tokenizer))
            ids[replaced] = rng.integers(0, size, len(replaced))
        return {"input_ids": ids, "labels": labels}

    def _mask_for_scoring(self, row: EncodedRow) -> EncodedRow:
        """The beginning of a text, with masks that depend on its tokens alone."""
        ids = self._window(row["input_ids"], None)
        return self._mask(ids, row_rng(ids))

    def collate(self, encoded: list[EncodedRow]) -> ModelBatch:
        import torch

        masked = [row if "labels" in row else self._mask_for_scoring(row) for row in encoded]
        length = max(len(row["input_ids"]) for row in masked)
        fills = {"input_ids": self.processor.pad_token_id, "labels": IGNORED}
        batch = {
            name: np.stack([np.pad(row[name], (0, length - len(row[name])), constant_values=fill) for row in masked])
            for name, fill in fills.items()
        }
        batch["attention_mask"] = np.stack([np.arange(length) < len(row["input_ids"]) for row in masked])
        return {name: torch.from_numpy(array.astype(np.int64)) for name, array in batch.items()}

    def outputs(self, model: Model, batch: ModelBatch, side: Side) -> Outputs:
        import torch

        inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
        logits = model(**inputs).logits.float()
        losses, right, guesses = [], [], []
        for row, labels in zip(logits, batch["labels"], strict=True):
            hidden = torch.nonzero(labels != IGNORED)[:, 0]
            cross_entropy = torch.nn.functional.cross_entropy(row[hidden], labels[hidden], reduction="none")
            losses.append(cross_entropy.cpu().numpy())
            likeliest = row[hidden].topk(_GUESSES).indices
            right.append((likeliest[:, 0] == labels[hidden]).long().cpu().numpy())
            guesses.append(likeliest.cpu().numpy())
        return {"losses": stack(losses), "right": stack(right), "guesses": stack(guesses)}

    def runtime_snippet(self) -> str:
        if not self.processor.is_fast:
            return ""
        encode = (
            'mask = json.loads((folder / "tokenizer_config.json").read_text())["mask_token"]\n'
            'mask = mask["content"] if isinstance(mask, dict) else mask\n'
            'made = tokenizer.encode(f"Put your {mask} here.")'
        )
        return snippet_inputs(self.max_length, self.processor, encode) + (
            "at = made.ids.index(tokenizer.token_to_id(mask))\n"
            f'best = np.argsort(-session.run(None, inputs)[0][0, at], kind="stable")[:{_GUESSES}]\n'
            "print([tokenizer.decode([token], skip_special_tokens=False) for token in best])"
        )

    def render(self, row: Row, prediction: np.ndarray, reference: np.ndarray) -> JsonObject:
        """The text as the model sees it."""
        tokenizer = self.processor
        (encoded,) = self.encode({"text": [row["text"]]}).inputs["input_ids"]
        ids = self._mask_for_scoring({"input_ids": encoded})["input_ids"].tolist()
        omitted = set(tokenizer.all_special_ids) - {tokenizer.mask_token_id}
        return {"text": tokenizer.decode([token for token in ids if token not in omitted])[:400]}

    def respond(self, outputs: Outputs, side: Side) -> JsonObject:
        guesses = outputs["guesses"][0]
        return {"guesses": [[self.processor.decode([int(token)]) for token in place] for place in guesses]}
