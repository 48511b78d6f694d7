"""What the tasks share that write text: a sequence to sequence model reads an input and generates.

https://huggingface.co/docs/transformers/tasks/translation
"""

import difflib
import json
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from hftransfer.core.features import Kind
from hftransfer.tasks import IGNORED, Batch, Outputs, Task
from hftransfer.tasks._text import cut, refuse_longer


class _Text2Text(Task):
    """Texts to texts. Outputs: `ids` (rows, tokens), generated; `logprobs` (rows, tokens), of the reference's tokens.

    The second tells exported from trained where generated texts are equal by chance, and how wrong a row is.
    """

    columns: ClassVar[dict[str, Kind]] = {"source": "text", "target": "text"}
    targets: ClassVar[frozenset[str]] = frozenset({"target"})
    auto_model: ClassVar[str] = "AutoModelForSeq2SeqLM"
    auto_processor: ClassVar[str] = "AutoTokenizer"

    max_source_length: int = Field(default=128, ge=2)
    """Tokens kept of an input."""
    max_target_length: int = Field(default=128, ge=2)
    """Tokens kept of a reference, and written at most."""
    prefix: str = ""
    """What stands before every input, such as 'summarize: ' for T5."""
    num_beams: int = Field(default=1, ge=1)
    """Beams of the search in scoring; 1 is greedy."""

    @property
    def usage(self) -> tuple[str, str, str]:
        """Transformers 4 has pipelines for it, which search with four beams; Transformers 5 has none."""
        text = json.dumps(f"{self.prefix}A text.", ensure_ascii=False)
        return (
            f"from transformers import {self.auto_model}, {self.auto_processor}",
            f"tokenizer = {self.auto_processor}.from_pretrained(repo)\nmodel = {self.auto_model}.from_pretrained(repo)",
            f'inputs = tokenizer({text}, truncation=True, max_length={self.max_source_length}, return_tensors="pt")\n'
            f"(ids,) = model.generate(**inputs, num_beams={self.num_beams}, max_new_tokens={self.max_target_length})\n"
            "answer = tokenizer.decode(ids, skip_special_tokens=True)",
        )

    def check(self, splits: dict[str, Any], config: Any) -> list[str]:
        for key in ("max_source_length", "max_target_length"):
            refuse_longer(key, getattr(self, key), getattr(self, key), config)
        return [
            *cut(splits, "max_source_length", self.max_source_length, self._read),
            *cut(splits, "max_target_length", self.max_target_length, self._written),
        ]

    def _read(self, rows: dict[str, list[Any]]) -> Any:
        return self.processor([self.prefix + text for text in rows["source"]], verbose=False)["input_ids"]

    def _written(self, rows: dict[str, list[Any]]) -> Any:
        return self.processor(text_target=rows["target"], verbose=False)["input_ids"]

    def encode(self, rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
        texts = [self.prefix + text for text in rows["source"]]
        encoded = dict(self.processor(texts, truncation=True, max_length=self.max_source_length))
        encoded["length"] = [len(ids) for ids in encoded["input_ids"]]
        if "target" in rows:
            made = self.processor(text_target=rows["target"], truncation=True, max_length=self.max_target_length)
            encoded["labels"] = made["input_ids"]
        return encoded

    def new_processor(self, config: Any, rows: Any) -> Any:
        """A BPE tokenizer (Sennrich et al. 2016, https://arxiv.org/abs/1508.07909) learnt from the training texts."""
        from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
        from transformers import PreTrainedTokenizerFast

        names = {config.pad_token_id: "<pad>", config.eos_token_id: "</s>"}
        free = next(i for i in range(3) if i not in names)
        special = [name for _, name in sorted((names | {free: "<unk>"}).items())]
        tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
        tokenizer.normalizer = normalizers.NFKC()
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        tokenizer.decoder = decoders.Metaspace()
        trainer = trainers.BpeTrainer(vocab_size=config.vocab_size, special_tokens=special, show_progress=False)
        tokenizer.train_from_iterator([*rows["source"][:], *rows["target"][:]], trainer)
        tokenizer.post_processor = processors.TemplateProcessing(
            single="$A </s>", special_tokens=[("</s>", config.eos_token_id)]
        )
        return PreTrainedTokenizerFast(
            tokenizer_object=tokenizer,
            pad_token="<pad>",
            eos_token="</s>",
            unk_token="<unk>",
            model_max_length=512,
            model_input_names=["input_ids", "attention_mask"],
        )

    def finish(self, model: Any) -> None:
        """Leave the prefix where `transformers.pipeline` looks for it, and let the model end where it has learnt to.

        BART's summarizers come with a least length, of the summaries of one newspaper.
        """
        model.generation_config.min_length = 0
        if self.prefix:
            model.config.task_specific_params = {self.name: {"prefix": self.prefix}}

    def collator(self) -> Callable[[list[dict[str, Any]]], Batch]:
        from transformers import DataCollatorForSeq2Seq

        pad = DataCollatorForSeq2Seq(self.processor, label_pad_token_id=IGNORED)
        return lambda rows: dict(pad([{name: cell for name, cell in row.items() if name != "length"} for row in rows]))

    def predict(self, model: Any, batch: Batch) -> Outputs:
        inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
        return generated(model, inputs, batch.get("labels"), self.max_target_length, self.num_beams)

    def postprocess(self, outputs: Outputs) -> np.ndarray:
        ids = np.where(outputs["ids"] < 0, self.processor.pad_token_id, outputs["ids"])
        return np.array(
            [text.strip() for text in self.processor.batch_decode(ids, skip_special_tokens=True)], dtype=object
        )

    def references(self, rows: Any) -> np.ndarray:
        return np.array(rows["target"][:], dtype=object)

    def losses(self, outputs: Outputs, references: np.ndarray) -> np.ndarray:
        """Mean negative log-probability of the reference's tokens."""
        return np.asarray(-np.nanmean(outputs["logprobs"], axis=1))

    def read(self, text: str) -> dict[str, Any]:
        return {"source": text}

    def show(self, row: dict[str, Any], prediction: Any, reference: Any) -> dict[str, Any]:
        return {"text": row["source"][:400], "changes": changes(reference, prediction)}

    def answer(self, outputs: Outputs) -> dict[str, Any]:
        return {"text": self.postprocess(outputs)[0]}


def generated(model: Any, inputs: Batch, labels: Any, max_length: int, num_beams: int) -> Outputs:
    """What the model writes, and how likely it finds the reference, by teacher forcing."""
    import torch
    from torch.nn.functional import cross_entropy

    made = model.generate(**inputs, max_new_tokens=max_length, num_beams=num_beams, do_sample=False)
    outputs = {"ids": made.cpu().numpy()}
    if labels is not None:
        start = torch.full_like(labels[:, :1], model.config.decoder_start_token_id)
        before = torch.cat([start, labels[:, :-1]], dim=1)
        before.masked_fill_(before == IGNORED, model.config.pad_token_id)
        logits = model(**inputs, decoder_input_ids=before).logits
        # Row by row, as the vocabulary is large.
        losses = [cross_entropy(row.float(), of, reduction="none") for row, of in zip(logits, labels, strict=True)]
        outputs["logprobs"] = -torch.stack(losses).masked_fill(labels == IGNORED, float("nan")).cpu().numpy()
    return outputs


def changes(reference: str, prediction: str) -> list[tuple[str, str]]:
    """From the reference's words to the prediction's: kept (=), missing (-), added (+)."""
    before, after = reference.split(), prediction.split()
    found = []
    for kind, i, j, k, m in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if kind == "equal":
            found.append(("=", " ".join(before[i:j])))
            continue
        found += [("-", " ".join(before[i:j]))] * (j > i) + [("+", " ".join(after[k:m]))] * (m > k)
    return found
