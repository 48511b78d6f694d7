"""Words hidden in texts are guessed: a checkpoint goes on learning the language of texts that have no labels.

Masking as in BERT (Devlin et al. 2019, https://arxiv.org/abs/1810.04805, section 3.1); for a target domain before its
few labels, Gururangan et al. 2020, https://arxiv.org/abs/2004.10964. The run is a checkpoint for any recipe on texts.
"""

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from hftransfer.core.errors import ModelError
from hftransfer.core.features import Kind
from hftransfer.tasks import IGNORED, Batch, Outputs
from hftransfer.tasks._hidden import _Hidden, own_draw
from hftransfer.tasks._text import check_positions, longest, plain_inputs


class FillMask(_Hidden):
    """Texts to their hidden words. Inputs: `input_ids` and `attention_mask` of shape (batch, tokens).

    Training sees a random part of a longer text and other masks in each epoch; scoring sees its beginning, and for a
    text always the same masks.
    """

    columns: ClassVar[dict[str, Kind]] = {"text": "text", "label": "label"}
    auto_model: ClassVar[str] = "AutoModelForMaskedLM"
    auto_processor: ClassVar[str] = "AutoTokenizer"

    max_length: int = Field(default=128, ge=4)
    """Tokens of a text that are seen at a time."""
    mlm_probability: float = Field(default=0.15, gt=0, lt=1)
    """Share of the tokens to guess: of ten, eight are masked, one is another word, one stands as it is."""

    @property
    def one_class(self) -> bool:
        return True

    @property
    def example(self) -> str:
        return 'f"Put your {pipe.tokenizer.mask_token} here."'

    def check(self, splits: dict[str, Any], config: Any) -> list[str]:
        check_positions(self.max_length, self.processor, config)
        if self.processor.mask_token_id is None:
            raise ModelError(
                f"the tokenizer of this {config.model_type} has no mask, and 'fill-mask' hides words by it"
            )
        return []

    def encode(self, rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
        ids = self.processor(rows["text"], verbose=False)["input_ids"]
        length = longest(self.max_length, self.processor)
        return {"input_ids": ids, "length": [min(len(one), length) for one in ids]}

    @property
    def augments(self) -> bool:
        return True

    def augment(self, row: dict[str, Any], draw: np.random.Generator) -> dict[str, Any]:
        return self._masked(self._part(row["input_ids"], draw), draw)

    def _part(self, ids: Any, draw: np.random.Generator | None) -> np.ndarray:
        """So much of a text as is seen at a time, from a drawn place or from its beginning, in its frame."""
        whole, room = np.array(ids), longest(self.max_length, self.processor)
        if len(whole) <= room:
            return whole
        frame = set(self.processor.all_special_ids) - {self.processor.unk_token_id, self.processor.mask_token_id}
        inner = np.flatnonzero(~np.isin(whole, list(frame)))
        first, behind = int(inner[0]), int(inner[-1]) + 1
        size = room - first - (len(whole) - behind)
        start = first if draw is None else int(draw.integers(first, behind - size + 1))
        return np.concatenate([whole[:first], whole[start : start + size], whole[behind:]])

    def _masked(self, whole: np.ndarray, draw: np.random.Generator) -> dict[str, Any]:
        tokenizer = self.processor
        labels = np.full(len(whole), IGNORED)
        if (whole == tokenizer.mask_token_id).any():
            # A text that somebody has masked himself.
            labels[whole == tokenizer.mask_token_id] = tokenizer.mask_token_id
            return {"input_ids": whole, "labels": labels}
        free = np.flatnonzero(~np.isin(whole, tokenizer.all_special_ids))
        if len(free):
            chosen = free[draw.permutation(len(free))[: max(1, round(self.mlm_probability * len(free)))]]
            labels[chosen] = whole[chosen]
            fate = draw.random(len(chosen))
            # A short text has one mask at least.
            fate[0] = 0.0
            whole[chosen[fate < 0.8]] = tokenizer.mask_token_id
            other = chosen[fate >= 0.9]
            whole[other] = draw.integers(0, len(tokenizer), len(other))
        return {"input_ids": whole, "labels": labels}

    def collator(self) -> Callable[[list[dict[str, Any]]], Batch]:
        import torch

        def collate(rows: list[dict[str, Any]]) -> Batch:
            cells = [row if "labels" in row else self._of_text(row) for row in rows]
            length = max(len(row["input_ids"]) for row in cells)
            fills = {"input_ids": self.processor.pad_token_id, "labels": IGNORED}
            batch = {
                name: np.stack([np.pad(row[name], (0, length - len(row[name])), constant_values=fill) for row in cells])
                for name, fill in fills.items()
            }
            batch["attention_mask"] = np.stack([np.arange(length) < len(row["input_ids"]) for row in cells])
            return {name: torch.from_numpy(array.astype(np.int64)) for name, array in batch.items()}

        return collate

    def _of_text(self, row: dict[str, Any]) -> dict[str, Any]:
        """The beginning of a text, its masks drawn by its own tokens."""
        whole = self._part(row["input_ids"], None)
        return self._masked(whole, own_draw(whole))

    def predict(self, model: Any, batch: Batch) -> Outputs:
        """Beside losses and rights the five likeliest tokens of each hidden place."""
        import torch

        inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
        logits = model(**inputs).logits.float()
        losses, right, guesses = [], [], []
        for row, labels in zip(logits, batch["labels"], strict=True):
            at = torch.nonzero(labels != IGNORED)[:, 0]
            losses.append(torch.nn.functional.cross_entropy(row[at], labels[at], reduction="none").cpu().numpy())
            best = row[at].topk(5).indices
            right.append((best[:, 0] == labels[at]).long().cpu().numpy())
            guesses.append(best.cpu().numpy())
        return {"losses": losses, "right": right, "guesses": guesses}  # type: ignore[dict-item]

    def plain(self) -> str:
        if not self.processor.is_fast:
            return ""
        encode = (
            'mask = json.loads((folder / "tokenizer_config.json").read_text())["mask_token"]\n'
            'mask = mask["content"] if isinstance(mask, dict) else mask\n'
            'made = tokenizer.encode(f"Put your {mask} here.")'
        )
        return plain_inputs(self.max_length, self.processor, encode) + (
            "at = made.ids.index(tokenizer.token_to_id(mask))\n"
            'best = np.argsort(-session.run(None, inputs)[0][0, at], kind="stable")[:5]\n'
            "print([tokenizer.decode([token], skip_special_tokens=False) for token in best])"
        )

    def read(self, text: str) -> dict[str, Any]:
        return {"text": text}

    def show(self, row: dict[str, Any], prediction: Any, reference: Any) -> dict[str, Any]:
        """The text as the model sees it."""
        tokenizer = self.processor
        seen = self._of_text({"input_ids": self.encode({"text": [row["text"]]})["input_ids"][0]})["input_ids"].tolist()
        hidden = set(tokenizer.all_special_ids) - {tokenizer.mask_token_id}
        return {"text": tokenizer.decode([token for token in seen if token not in hidden])[:400]}

    def answer(self, outputs: Outputs) -> dict[str, Any]:
        guesses = outputs["guesses"][0]
        return {"guesses": [[self.processor.decode([int(token)]) for token in one] for one in guesses]}
