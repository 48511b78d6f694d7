"""Texts are continued, token by token: a causal language model learns the language of a domain (GPT-2, Llama).

https://huggingface.co/docs/transformers/tasks/language_modeling
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import Field

from hftransfer.core.empty_model import empty_model
from hftransfer.core.errors import DataError, ModelError
from hftransfer.core.features import Feature, Text
from hftransfer.core.results import JsonObject
from hftransfer.tasks import IGNORED, Encoded, ModelBatch, Outputs, Processor, Rows, Side
from hftransfer.tasks._limits import check_sampled_ids, position_limit, refuse_unknown_ids
from hftransfer.tasks._masked_rows import MaskedRows
from hftransfer.tasks._text import check_positions, padded, tokens_kept
from hftransfer.tasks._types import EncodedRow, Model, Row

if TYPE_CHECKING:
    import torch
    from datasets import Dataset
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerFast


class TextGeneration(MaskedRows):
    """Texts to their next tokens. Inputs: `input_ids` and `attention_mask` of shape (batch, tokens).

    Training sees the texts joined, cut into blocks of `max_length` tokens, so that no step is spent on padding. Scoring
    sees the beginning of each text by itself; every token but the first counts as hidden. Outputs hold `ids` too, of
    shape (rows, new tokens): what the model generates after the first half.
    """

    inputs: ClassVar[dict[str, Feature]] = {"text": Text()}
    auto_model: ClassVar[str] = "AutoModelForCausalLM"
    auto_processor: ClassVar[str] = "AutoTokenizer"
    refuses: ClassVar[dict[str, str]] = MaskedRows.refuses | {
        "linear_probe": "a causal language model has no head that could be trained alone",
        "lp_ft": "a causal language model has no head that could be trained alone",
    }
    tiny_model: ClassVar[str] = "gpt2"
    suggested_checkpoints = {"text": ("HuggingFaceTB/SmolLM2-135M",)}

    max_length: int = Field(default=128, ge=4, le=10**6)
    """Tokens of a block in training, and of a text in scoring."""
    max_new_tokens: int = Field(default=16, ge=1, le=10**5)
    """Tokens that are generated."""

    @property
    def has_class_targets(self) -> bool:
        """A token is a class."""
        return True

    def open_processor(
        self, read: Callable[..., Processor], config: PretrainedConfig, rows: Dataset | None
    ) -> Processor:
        tokenizer = read(self.auto_processor)
        if tokenizer.eos_token is None:
            raise ModelError("the tokenizer of the checkpoint has no token for the end of a text")
        return padded(tokenizer)

    def new_processor(self, config: PretrainedConfig, rows: Dataset) -> PreTrainedTokenizerFast:
        """A BPE tokenizer of bytes, as GPT-2's (Radford et al. 2019), trained on the training texts."""
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

    def check(self, splits: Mapping[str, Dataset], config: PretrainedConfig) -> list[str]:
        limit = check_positions(self.auto_model, config, self.max_length, self.processor)
        prompt = self._block_length // 2
        if limit is not None and limit - self.max_new_tokens < prompt:
            raise ModelError(
                f"task.max_new_tokens: {self.max_new_tokens} after the {prompt} tokens of half a text are more than "
                f"the {limit} tokens that the checkpoint takes"
            )
        check_sampled_ids(splits, self.processor, config, self.encode)
        return []

    @property
    def _block_length(self) -> int:
        return tokens_kept(self.max_length, self.processor)

    def encode(self, rows: Rows) -> Encoded:
        """Tokens with an end of text; of rows to be continued, `prompt` in `side` is the number of tokens before it."""
        texts = self.processor(rows["text"], verbose=False)["input_ids"]
        refuse_unknown_ids(texts, self.processor, self.architecture)
        if "prompt" in rows:
            # The continuation follows from the end of a prompt.
            limit = position_limit(empty_model(self.auto_model, self.architecture))
            room = self.max_length if limit is None else min(self.max_length, limit - self.max_new_tokens)
            texts = [ids[-room:] for ids in texts]
        end = self.processor.eos_token_id
        ended = [[*ids, *([end] * (ids[-1:] != [end]))] for ids in texts]
        side = {"prompt": [min(len(ids), self._block_length) for ids in texts]} if "prompt" in rows else {}
        return Encoded({"input_ids": ended}, side, length=[min(len(ids), self._block_length) for ids in ended])

    def pack(self, rows: Dataset) -> Dataset:
        """All texts joined and cut into blocks, the last one shorter."""
        import pyarrow
        from datasets import Dataset

        size = self._block_length
        joined = pyarrow.concat_arrays([part.flatten() for part in rows.with_format("arrow")[:]["input_ids"].chunks])
        if len(joined) < 2:
            raise DataError(
                "the training texts are one token together, and a model learns to predict the token after one"
            )
        # A last block of one token would have nothing to predict.
        starts = range(0, len(joined) - 1, size)
        ends = pyarrow.array([*starts, min(starts[-1] + size, len(joined))], "int64")
        return Dataset(pyarrow.table({"input_ids": pyarrow.LargeListArray.from_arrays(ends, joined)}))

    def collate(self, encoded: list[EncodedRow]) -> ModelBatch:
        import torch

        texts = [np.asarray(row["input_ids"])[: self._block_length] for row in encoded]
        length = max(map(len, texts))
        mask = np.stack([np.arange(length) < len(text) for text in texts])
        pad = self.processor.pad_token_id
        ids = np.stack([np.pad(text, (0, length - len(text)), constant_values=pad) for text in texts])
        batch = {"input_ids": ids, "attention_mask": mask, "labels": np.where(mask, ids, IGNORED)}
        return {name: torch.from_numpy(array.astype(np.int64)) for name, array in batch.items()}

    def outputs(self, model: Model, batch: ModelBatch, side: Side) -> Outputs:
        import torch
        from torch.nn.functional import cross_entropy

        ids, mask, labels = batch["input_ids"], batch["attention_mask"], batch["labels"][:, 1:]
        logits = model(input_ids=ids, attention_mask=mask).logits[:, :-1]
        # Row by row, as the vocabulary is large.
        pairs = zip(logits, labels, strict=True)
        losses = torch.stack([cross_entropy(row.float(), target, reduction="none") for row, target in pairs])
        right = (logits.argmax(dim=-1) == labels).long()
        padding = labels == IGNORED
        prompts = side["prompt"] if "prompt" in side else (mask.sum(dim=1) // 2).tolist()
        return {
            "losses": losses.masked_fill(padding, float("nan")).cpu().numpy(),
            "right": right.masked_fill(padding, -1).cpu().numpy(),
            "ids": self._continue(model, ids, prompts),
        }

    def _continue(self, model: PreTrainedModel, ids: torch.Tensor, prompts: list[int]) -> np.ndarray:
        """The tokens that the model generates after the first tokens of each row, as many as `prompts` says."""
        import torch

        pad, width = self.processor.pad_token_id, max(prompts)
        # Prompts are padded on the left, so that generation goes on where they end.
        starts = torch.full((len(ids), width), pad, dtype=ids.dtype, device=ids.device)
        mask = torch.zeros_like(starts)
        for row, length in enumerate(prompts):
            starts[row, width - length :], mask[row, width - length :] = ids[row, :length], 1
        generated = model.generate(
            input_ids=starts,
            attention_mask=mask,
            max_new_tokens=self.max_new_tokens,
            do_sample=False,
            pad_token_id=pad,
        )
        return np.asarray(generated[:, width:].cpu().numpy())

    def parse(self, text: str) -> Row:
        return {"text": text, "prompt": True}

    def render(self, row: Row, prediction: np.ndarray, reference: np.ndarray) -> JsonObject:
        return {"text": row["text"][:400]}

    def respond(self, outputs: Outputs, side: Side) -> JsonObject:
        return {"text": self.processor.decode(outputs["ids"][0], skip_special_tokens=True)}
