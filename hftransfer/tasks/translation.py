"""A text in one language to the same in another (T5, Marian, mBART, NLLB).

https://huggingface.co/docs/transformers/tasks/translation
"""

from collections.abc import Callable
from typing import Any, ClassVar

from hftransfer.core.errors import ModelError
from hftransfer.core.plugins import nearest
from hftransfer.tasks._text2text import _Text2Text


class Translation(_Text2Text):
    """Texts to texts; scored by BLEU and chrF."""

    requires: ClassVar[dict[str, str]] = {"sacrebleu": "text"}

    source_lang: str | None = None
    """The tokenizer's code of the input's language, where it has such codes (mBART: en_XX, NLLB: eng_Latn)."""
    target_lang: str | None = None
    """Likewise of the output's; generation is forced to begin with it."""

    def metrics(self) -> list[str]:
        return ["sacrebleu", "chrf"]

    def open_processor(self, read: Callable[..., Any], config: Any, rows: Any) -> Any:
        tokenizer = read(self.auto_processor)
        if self.source_lang is None and self.target_lang is None:
            return tokenizer
        for lang in (self.source_lang, self.target_lang):
            if lang is not None and lang not in _codes(tokenizer):
                codes = getattr(tokenizer, "lang_code_to_id", None) or tokenizer.all_special_tokens
                raise ModelError(f"task: the tokenizer has no language '{lang}'; {nearest(lang, codes)}")
        return read(self.auto_processor, src_lang=self.source_lang, tgt_lang=self.target_lang)

    def new_processor(self, config: Any, rows: Any) -> Any:
        if self.source_lang or self.target_lang:
            raise ModelError(
                "task.source_lang and task.target_lang are codes of a checkpoint's tokenizer: leave them out"
            )
        return super().new_processor(config, rows)

    def finish(self, model: Any) -> None:
        super().finish(model)
        if self.target_lang is not None:
            model.generation_config.forced_bos_token_id = _codes(self.processor)[self.target_lang]


def _codes(tokenizer: Any) -> dict[str, int]:
    """Language -> the token of it, which M2M100 spells otherwise (`__fr__` for fr)."""
    found: dict[str, int] = getattr(tokenizer, "lang_code_to_id", None) or tokenizer.get_vocab()
    return found
