"""Texts are written on, word by word: a causal language model learns the language of a domain (GPT-2, Llama).

https://huggingface.co/docs/transformers/tasks/language_modeling
"""

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from hftransfer.core.errors import DataError, ModelError
from hftransfer.core.features import Kind
from hftransfer.tasks import IGNORED, Batch, Outputs
from hftransfer.tasks._hidden import _Hidden
from hftransfer.tasks._text import check_positions, longest, padded


class TextGeneration(_Hidden):
    """Texts to their next words. Inputs: `input_ids` and `attention_mask` of shape (batch, tokens).

    Training sees texts end to end, cut into blocks of `max_length` tokens, so that no step is spent on padding. Scoring
    sees the beginning of each text by itself. Outputs hold `ids` too: what the model writes after the first half.
    """

    columns: ClassVar[dict[str, Kind]] = {"text": "text", "label": "label"}
    auto_model: ClassVar[str] = "AutoModelForCausalLM"
    auto_processor: ClassVar[str] = "AutoTokenizer"

    max_length: int = Field(default=128, ge=4)
    """Tokens of a block in training, and of a text in scoring."""
    max_new_tokens: int = Field(default=16, ge=1)
    """Tokens that are written."""

    @property
    def one_class(self) -> bool:
        return True

    def open_processor(self, read: Callable[..., Any], config: Any, rows: Any) -> Any:
        tokenizer = read(self.auto_processor)
        if tokenizer.eos_token is None:
            raise ModelError("the tokenizer of the checkpoint has no token for the end of a text")
        return padded(tokenizer)

    def new_processor(self, config: Any, rows: Any) -> Any:
        """A BPE tokenizer of bytes (Radford et al. 2019, as GPT-2's) learnt from the training texts."""
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
        from transformers import PreTrainedTokenizerFast

        end, letters = "<|endoftext|>", pre_tokenizers.ByteLevel.alphabet()
        if config.vocab_size <= len(letters):
            raise ModelError(f"model.config.vocab_size: at least {len(letters) + 1}, a token for each byte, for texts")
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=config.vocab_size, special_tokens=[end], initial_alphabet=letters, show_progress=False
        )
        tokenizer.train_from_iterator(rows["text"][:], trainer)
        config.update({"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0})
        length = getattr(config, "max_position_embeddings", self.max_length)
        return PreTrainedTokenizerFast(
            tokenizer_object=tokenizer,
            bos_token=end,
            eos_token=end,
            pad_token=end,
            model_max_length=length,
            model_input_names=["input_ids", "attention_mask"],
        )

    def check(self, splits: dict[str, Any], config: Any) -> list[str]:
        check_positions(self.max_length, self.processor, config)
        if self._room(config) < (least := longest(self.max_length, self.processor) // 2):
            raise ModelError(
                f"task.max_new_tokens: {self.max_new_tokens} behind the {least} of half a text are more than the "
                f"{config.max_position_embeddings} tokens that the checkpoint takes"
            )
        return []

    def _room(self, config: Any) -> int:
        """Tokens that may stand before those that are written."""
        positions = getattr(config, "max_position_embeddings", None)
        return (positions if isinstance(positions, int) else 2**31) - self.max_new_tokens

    def encode(self, rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
        ids = self.processor(rows["text"], verbose=False)["input_ids"]
        if "prompt" in rows:
            # What is written follows from the end of a prompt.
            ids = [one[-min(self.max_length, self._room(self.architecture)) :] for one in ids]
        end, length = self.processor.eos_token_id, longest(self.max_length, self.processor)
        encoded: dict[str, list[Any]] = {"input_ids": [[*one, *([end] * (one[-1:] != [end]))] for one in ids]}
        encoded["length"] = [min(len(one), length) for one in encoded["input_ids"]]
        if "prompt" in rows:
            encoded["prompt"] = [len(one) for one in ids]
        return encoded

    def packed(self, rows: Any) -> Any:
        import pyarrow
        from datasets import Dataset

        size = longest(self.max_length, self.processor)
        whole = pyarrow.concat_arrays([some.flatten() for some in rows.with_format("arrow")[:]["input_ids"].chunks])
        if len(whole) < 2:
            raise DataError("the training texts are one token together, and a model learns from what stands behind one")
        # A last token by itself has nothing behind it to guess.
        starts = range(0, len(whole) - 1, size)
        ends = pyarrow.array([*starts, min(starts[-1] + size, len(whole))], "int64")
        return Dataset(pyarrow.table({"input_ids": pyarrow.LargeListArray.from_arrays(ends, whole)}))

    def collator(self) -> Callable[[list[dict[str, Any]]], Batch]:
        import torch

        pad, size = self.processor.pad_token_id, longest(self.max_length, self.processor)

        def collate(rows: list[dict[str, Any]]) -> Batch:
            texts = [np.asarray(row["input_ids"])[:size] for row in rows]
            length = max(map(len, texts))
            seen = np.stack([np.arange(length) < len(text) for text in texts])
            ids = np.stack([np.pad(text, (0, length - len(text)), constant_values=pad) for text in texts])
            batch = {"input_ids": ids, "attention_mask": seen, "labels": np.where(seen, ids, IGNORED)}
            if "prompt" in rows[0]:
                batch["prompt"] = np.array([min(int(row["prompt"]), size) for row in rows])
            return {name: torch.from_numpy(array.astype(np.int64)) for name, array in batch.items()}

        return collate

    def predict(self, model: Any, batch: Batch) -> Outputs:
        import torch
        from torch.nn.functional import cross_entropy

        ids, mask, labels = batch["input_ids"], batch["attention_mask"], batch["labels"][:, 1:]
        logits = model(input_ids=ids, attention_mask=mask).logits[:, :-1]
        # Row by row, as the vocabulary is large.
        rows = [cross_entropy(row.float(), of, reduction="none") for row, of in zip(logits, labels, strict=True)]
        losses = torch.stack(rows)
        right = (logits.argmax(dim=-1) == labels).long()
        hidden = labels == IGNORED
        return {
            "losses": losses.masked_fill(hidden, float("nan")).cpu().numpy(),
            "right": right.masked_fill(hidden, -1).cpu().numpy(),
            "ids": self._written(model, ids, batch.get("prompt", mask.sum(dim=1) // 2)),
        }

    def _written(self, model: Any, ids: Any, lengths: Any) -> np.ndarray:
        """What the model writes after the first `lengths` tokens of each row, which stand to the right."""
        import torch

        pad, room = self.processor.pad_token_id, int(lengths.max())
        starts = torch.full((len(ids), room), pad, dtype=ids.dtype, device=ids.device)
        mask = torch.zeros_like(starts)
        for row, length in enumerate(lengths.tolist()):
            starts[row, room - length :], mask[row, room - length :] = ids[row, :length], 1
        made = model.generate(
            input_ids=starts,
            attention_mask=mask,
            max_new_tokens=self.max_new_tokens,
            do_sample=False,
            pad_token_id=pad,
        )
        return np.asarray(made[:, room:].cpu().numpy())

    def read(self, text: str) -> dict[str, Any]:
        return {"text": text, "prompt": True}

    def show(self, row: dict[str, Any], prediction: Any, reference: Any) -> dict[str, Any]:
        return {"text": row["text"][:400]}

    def answer(self, outputs: Outputs) -> dict[str, Any]:
        return {"text": self.processor.decode(outputs["ids"][0], skip_special_tokens=True)}
