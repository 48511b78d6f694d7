"""The family of the tasks that turn one text into another: a sequence-to-sequence model reads it and generates.

https://huggingface.co/docs/transformers/tasks/translation
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import Field

from hftransfer.core.arrow import read_rows
from hftransfer.core.empty_model import empty_model
from hftransfer.core.features import Feature, Text
from hftransfer.core.results import JsonObject
from hftransfer.tasks import IGNORED, Encoded, ModelBatch, Outputs, Predictions, Rows, Side, Task, object_array
from hftransfer.tasks._limits import check_start, position_limit, refuse_longer, refuse_unknown_ids, start_token
from hftransfer.tasks._text import truncated, truncated_shares
from hftransfer.tasks._types import EncodedRow, Model, Row

if TYPE_CHECKING:
    import torch
    from datasets import Dataset
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

    from hftransfer.core.data_facts import InputFact

# The error of a text that differs from its reference in spaces and line breaks alone.
_SPACING_ERROR = 0.01


class Generation(Task):
    """Adds source and target texts, generation in scoring, and errors by words.

    Outputs: `ids` of shape (rows, tokens), generated, and `logprobs` of shape (rows, tokens), the log-probabilities of
    the reference's tokens by teacher forcing. By the latter an exported model is compared with the trained one: their
    generated texts may be equal by chance.
    """

    inputs: ClassVar[dict[str, Feature]] = {"source": Text()}
    target: ClassVar[tuple[str, Feature] | None] = ("target", Text())
    auto_model: ClassVar[str] = "AutoModelForSeq2SeqLM"
    auto_processor: ClassVar[str] = "AutoTokenizer"
    refuses: ClassVar[dict[str, str]] = {
        "few_shot": "it compares rows of one class each, and these have texts",
        "distill": "the texts of a teacher are no labels for another model",
        "linear_probe": "a sequence-to-sequence model has no head that could be trained alone",
        "lp_ft": "a sequence-to-sequence model has no head that could be trained alone",
    }
    tiny_model: ClassVar[str] = "t5"

    max_source_length: int = Field(default=128, ge=2, le=10**6)
    """Tokens of an input; longer ones are truncated."""
    max_target_length: int = Field(default=128, ge=2, le=10**5)
    """Tokens of a reference, and generated at most."""
    prefix: str = ""
    """A text before every input, such as 'summarize: ' for T5."""
    num_beams: int = Field(default=1, ge=1, le=100)
    """Beams of the beam search in scoring; 1 is greedy decoding."""

    @property
    def usage_snippet(self) -> tuple[str, str, str]:
        """Transformers 4 has pipelines for these tasks, which search with four beams; Transformers 5 has none."""
        text = json.dumps(f"{self.prefix}A text.", ensure_ascii=False)
        return (
            f"from transformers import {self.auto_model}, {self.auto_processor}",
            f"tokenizer = {self.auto_processor}.from_pretrained(repo)\nmodel = {self.auto_model}.from_pretrained(repo)",
            f'inputs = tokenizer({text}, truncation=True, max_length={self.max_source_length}, return_tensors="pt")\n'
            f"(ids,) = model.generate(**inputs, num_beams={self.num_beams}, max_new_tokens={self.max_target_length})\n"
            "answer = tokenizer.decode(ids, skip_special_tokens=True)",
        )

    def check(self, splits: Mapping[str, Dataset], config: PretrainedConfig) -> list[str]:
        model = empty_model(self.auto_model, config)
        for key, generates in (("max_source_length", False), ("max_target_length", True)):
            refuse_longer(key, getattr(self, key), getattr(self, key), position_limit(model, generates=generates))
        check_start(model, self._target_ids({"target": ["a"]})[0])
        return [
            *truncated(splits, "max_source_length", self.max_source_length, self._source_ids),
            *truncated(splits, "max_target_length", self.max_target_length, self._target_ids),
        ]

    def _sources(self, rows: Rows) -> list[str]:
        return [self.prefix + text for text in rows["source"]]

    def _source_ids(self, rows: Rows) -> list[list[int]]:
        ids: list[list[int]] = self.processor(self._sources(rows), verbose=False)["input_ids"]
        refuse_unknown_ids(ids, self.processor, self.architecture)
        return ids

    def _target_ids(self, rows: Rows) -> list[list[int]]:
        ids: list[list[int]] = self.processor(text_target=rows["target"], verbose=False)["input_ids"]
        refuse_unknown_ids(ids, self.processor, self.architecture, generates=True)
        return ids

    def input_facts(self, rows: Dataset) -> dict[InputFact, np.ndarray]:
        columns = read_rows(rows)
        lost = [len(ids) > self.max_target_length for ids in self._target_ids(columns)]
        shares = truncated_shares(self._source_ids(columns), self.max_source_length)
        return {"truncated": shares, "label_lost": np.array(lost)}

    def encode(self, rows: Rows) -> Encoded:
        inputs = dict(self.processor(self._sources(rows), truncation=True, max_length=self.max_source_length))
        if "target" in rows:
            targets = self.processor(text_target=rows["target"], truncation=True, max_length=self.max_target_length)
            inputs["labels"] = targets["input_ids"]
            refuse_unknown_ids(inputs["labels"], self.processor, self.architecture, generates=True)
        refuse_unknown_ids(inputs["input_ids"], self.processor, self.architecture)
        return Encoded(inputs, length=[len(ids) for ids in inputs["input_ids"]])

    def new_processor(self, config: PretrainedConfig, rows: Dataset) -> PreTrainedTokenizerFast:
        """A BPE tokenizer (Sennrich et al. 2016, https://arxiv.org/abs/1508.07909), trained on the training texts."""
        from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
        from transformers import PreTrainedTokenizerFast

        names = {config.pad_token_id: "<pad>", config.eos_token_id: "</s>"}
        unknown_id = next(i for i in range(3) if i not in names)
        special_tokens = [name for _, name in sorted((names | {unknown_id: "<unk>"}).items())]
        tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
        tokenizer.normalizer = normalizers.NFKC()
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        tokenizer.decoder = decoders.Metaspace()
        trainer = trainers.BpeTrainer(vocab_size=config.vocab_size, special_tokens=special_tokens, show_progress=False)
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

    def finalize(self, model: PreTrainedModel) -> None:
        """Write the prefix where `transformers.pipeline` looks for it, and remove the least length of generated texts.

        BART's summarizers come with one, of the summaries of one newspaper. Generation begins with the token with which
        training did: that of mBART-25 is the target language's.
        """
        start = start_token(model, self._target_ids({"target": ["a"]})[0])
        model.config.decoder_start_token_id = model.generation_config.decoder_start_token_id = start
        model.generation_config.min_length = 0
        if self.prefix:
            model.config.task_specific_params = {self.name: {"prefix": self.prefix}}

    def collate(self, encoded: list[EncodedRow]) -> ModelBatch:
        from transformers import DataCollatorForSeq2Seq

        return dict(DataCollatorForSeq2Seq(self.processor, label_pad_token_id=IGNORED)(encoded))

    def outputs(self, model: Model, batch: ModelBatch, side: Side) -> Outputs:
        inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
        return generation_outputs(model, inputs, batch.get("labels"), self.max_target_length, self.num_beams)

    def postprocess(self, outputs: Outputs, side: Side) -> Predictions:
        ids = np.where(outputs["ids"] < 0, self.processor.pad_token_id, outputs["ids"])
        return object_array([text.strip() for text in self.processor.batch_decode(ids, skip_special_tokens=True)])

    def references(self, rows: Dataset) -> Predictions:
        return object_array(rows["target"][:])

    def wrong(self, reference: str, prediction: str) -> str:
        """No text, or some where there is none."""
        return "" if reference else "?"

    def error(self, prediction: str, reference: str) -> float:
        return text_error(prediction, reference)

    def render(self, row: Row, prediction: str, reference: str) -> JsonObject:
        return {"text": row["source"][:400], "changes": word_changes(reference, prediction)}

    def respond(self, outputs: Outputs, side: Side) -> JsonObject:
        return {"text": self.postprocess(outputs, side)[0]}


def generation_outputs(
    model: PreTrainedModel, inputs: ModelBatch, labels: torch.Tensor | None, max_length: int, num_beams: int
) -> Outputs:
    """`ids`, the generated tokens, and where there are labels `logprobs`, those of their tokens by teacher forcing."""
    import torch
    from torch.nn.functional import cross_entropy

    ids = model.generate(**inputs, max_new_tokens=max_length, num_beams=num_beams, do_sample=False)
    outputs = {"ids": ids.cpu().numpy()}
    if labels is not None:
        start = torch.full_like(labels[:, :1], model.config.decoder_start_token_id)
        decoder_ids = torch.cat([start, labels[:, :-1]], dim=1)
        decoder_ids.masked_fill_(decoder_ids == IGNORED, model.config.pad_token_id)
        logits = model(**inputs, decoder_input_ids=decoder_ids).logits
        # Row by row, as the vocabulary is large.
        losses = [
            cross_entropy(row.float(), target, reduction="none") for row, target in zip(logits, labels, strict=True)
        ]
        outputs["logprobs"] = -torch.stack(losses).masked_fill(labels == IGNORED, float("nan")).cpu().numpy()
    return outputs


def text_error(prediction: str, reference: str) -> float:
    """0 where two texts are equal, else the share of their words without a match in the other, above 0 and up to 1.

    The matches are those of difflib, the longest common runs of words first.
    """
    if prediction.strip() == reference.strip():
        return 0.0
    matcher = difflib.SequenceMatcher(None, reference.split(), prediction.split(), autojunk=False)
    return max(1 - matcher.ratio(), _SPACING_ERROR)


def word_changes(reference: str, prediction: str) -> list[tuple[str, str]]:
    """From the reference's words to the prediction's: equal (=), missing (-), added (+)."""
    before, after = reference.split(), prediction.split()
    changes = []
    for kind, i, j, k, m in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if kind == "equal":
            changes.append(("=", " ".join(before[i:j])))
            continue
        changes += [("-", " ".join(before[i:j]))] * (j > i) + [("+", " ".join(after[k:m]))] * (m > k)
    return changes
