"""A text in one language to the same in another (T5, Marian, mBART, NLLB).

https://huggingface.co/docs/transformers/tasks/translation
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ClassVar

from hftransfer.core.errors import ModelError
from hftransfer.core.plugins import nearest
from hftransfer.tasks import Processor
from hftransfer.tasks._choice_hooks import Sampled, mean_words, values_of
from hftransfer.tasks._generation import Generation

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast


class Translation(Generation):
    """Texts to texts; scored by BLEU and chrF."""

    metrics: ClassVar[list[str]] = ["sacrebleu", "chrf"]
    requires: ClassVar[dict[str, str]] = {"sacrebleu": "text"}
    suggested_checkpoints = {"source": ("google-t5/t5-small",)}

    source_lang: str | None = None
    """The tokenizer's code of the input's language, where it has such codes (mBART: en_XX, NLLB: eng_Latn)."""
    target_lang: str | None = None
    """The code of the output's language, by which generation begins."""

    @classmethod
    def likeness(cls, columns: Mapping[str, str], rows: Sampled) -> float:
        """Columns called after languages; else texts of one length with few words in common."""
        names = [columns[role].rpartition(".")[2].lower() for role in ("source", "target")]
        if all(re.fullmatch("[a-z]{2}([_-][a-z]{2,4})?", name) for name in names):
            return 0.6
        source, target = (values_of(rows, role) for role in ("source", "target"))
        longer = mean_words(source) / max(1e-9, mean_words(target))
        pairs = [
            (set(str(a).lower().split()), set(str(b).lower().split())) for a, b in zip(source, target, strict=False)
        ]
        shared = sum(len(a & b) / max(1, len(a)) for a, b in pairs) / max(1, len(pairs))
        if not 0.5 < longer < 2:
            return -0.6
        return 0.4 if shared < 0.3 else -0.2

    def open_processor(
        self, read: Callable[..., Processor], config: PretrainedConfig, rows: Dataset | None
    ) -> Processor:
        tokenizer = read(self.auto_processor)
        if self.source_lang is None and self.target_lang is None:
            return tokenizer
        for lang in (self.source_lang, self.target_lang):
            if lang is not None and lang not in _language_ids(tokenizer):
                codes = getattr(tokenizer, "lang_code_to_id", None) or tokenizer.all_special_tokens
                raise ModelError(f"task: the tokenizer has no language '{lang}'; {nearest(lang, codes)}")
        tokenizer = read(self.auto_processor, src_lang=self.source_lang, tgt_lang=self.target_lang)
        if self.target_lang is not None and _language_ids(tokenizer)[self.target_lang] not in _target_ids(tokenizer):
            raise ModelError(
                f"task.target_lang: the checkpoint's {type(tokenizer).__name__} puts no language into the texts that "
                "are to be generated; leave it out"
            )
        return tokenizer

    def new_processor(self, config: PretrainedConfig, rows: Dataset) -> PreTrainedTokenizerFast:
        if self.source_lang or self.target_lang:
            raise ModelError(
                "task.source_lang and task.target_lang are codes of a checkpoint's tokenizer: leave them out"
            )
        return super().new_processor(config, rows)

    def finalize(self, model: PreTrainedModel) -> None:
        super().finalize(model)
        if self.target_lang is not None:
            language = _language_ids(self.processor)[self.target_lang]
            # Behind a text (mBART-25), it is the token from which the decoder starts, and none that it writes.
            is_suffix = _target_ids(self.processor)[-1] == language
            model.generation_config.forced_bos_token_id = None if is_suffix else language


def _target_ids(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The labels of some text."""
    ids: list[int] = tokenizer(text_target="a")["input_ids"]
    return ids


def _language_ids(tokenizer: PreTrainedTokenizerBase) -> dict[str, int]:
    """Language -> its token; M2M100 spells the tokens otherwise (`__fr__` for fr)."""
    ids: dict[str, int] = getattr(tokenizer, "lang_code_to_id", None) or tokenizer.get_vocab()
    return ids
