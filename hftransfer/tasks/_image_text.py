"""Processor, token ids and config of the models that write what stands in an image: a vision encoder, a text decoder.

https://huggingface.co/docs/transformers/model_doc/vision-encoder-decoder
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from hftransfer.core.arrow import read_rows
from hftransfer.core.errors import ModelError
from hftransfer.core.results import JsonObject
from hftransfer.tasks import Outputs, Predictions, Processor, Rows, Side, Task, object_array
from hftransfer.tasks._choice_hooks import Sampled
from hftransfer.tasks._generation import text_error
from hftransfer.tasks._limits import SAMPLED, refuse_unknown_ids
from hftransfer.tasks._text import truncated

if TYPE_CHECKING:
    from datasets import Dataset
    from PIL.Image import Image
    from transformers import (
        PretrainedConfig,
        PreTrainedModel,
        PreTrainedTokenizerBase,
        PreTrainedTokenizerFast,
    )

# At the ids that TrOCR's decoder has by default.
_START, _PAD, _END, _UNKNOWN = "<s>", "<pad>", "</s>", "<unk>"
# Of pixels from 0 to 1, so that images of one colour stay finite.
_LEAST_DEVIATION = 0.05
# Unknown characters that a warning names.
_NAMED = 12


def check_parts(config: PretrainedConfig) -> None:
    """Refuse a model that is not an encoder of images with a decoder of texts.

    Raises:
        ModelError: it is another one of AutoModelForImageTextToText, most of which answer prompts.
    """
    if not all(hasattr(getattr(config, part, None), "model_type") for part in ("encoder", "decoder")):
        raise ModelError(
            f"'image-to-text' trains an encoder of images with a decoder of texts, and a {config.model_type} is built "
            "otherwise: take a vision-encoder-decoder (TrOCR, Donut)"
        )


def scale_pixels(processor: Processor, images: Iterable[Image]) -> None:
    """Give a new image processor the mean and deviation of images in mode RGB, channel by channel.

    By the usual ones, 0.5 and 0.5, paper is a large number in every patch, beside which a new model finds ink late.
    """
    if not hasattr(processor, "image_mean"):
        return
    sums, count = np.zeros((2, 3)), 0
    for image in images:
        pixels = np.asarray(image, dtype=np.float64).reshape(-1, 3) / 255
        sums += pixels.sum(axis=0), (pixels**2).sum(axis=0)
        count += len(pixels)
    mean = sums[0] / count
    deviation = np.sqrt(np.maximum(sums[1] / count - mean**2, _LEAST_DEVIATION**2))
    processor.image_mean, processor.image_std = mean.round(4).tolist(), deviation.round(4).tolist()


def character_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """A tokenizer whose tokens are the characters of the texts; what follows a text is the token of its end."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    tokens = [_START, _PAD, _END, _UNKNOWN, *sorted(set().union(*texts))]
    ids = {token: number for number, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token=_UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {_END}", special_tokens=[(_END, tokens.index(_END))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=_START,
        pad_token=_PAD,
        eos_token=_END,
        unk_token=_UNKNOWN,
        clean_up_tokenization_spaces=False,
    )


def end_token(tokenizer: PreTrainedTokenizerBase) -> int:
    """The token that ends a text; BERT's is that between two texts.

    Raises:
        ModelError: the tokenizer has none.
    """
    found = tokenizer.eos_token_id if tokenizer.eos_token_id is not None else tokenizer.sep_token_id
    if found is None:
        raise ModelError("the tokenizer of the checkpoint has no token for the end of a text (eos_token, sep_token)")
    return int(found)


def set_decoder(config: PretrainedConfig, tokenizer: PreTrainedTokenizerBase, *, new_vocabulary: bool = False) -> None:
    """Write into a config, in place, that its decoder reads the encoder's outputs, and where generation starts.

    A start that is there already stays, unless the vocabulary is new: then its ids and size are written too.
    """
    decoder, end = config.decoder, end_token(tokenizer)
    begins = (tokenizer.bos_token_id, tokenizer.cls_token_id, end)
    start = next(token for token in begins if token is not None)
    decoder.update({"is_decoder": True, "add_cross_attention": True})
    ids = {"decoder_start_token_id": start}
    if new_vocabulary:
        ids |= {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": end}
        decoder.update(ids | {"bos_token_id": start, "vocab_size": len(tokenizer)})
    if new_vocabulary or getattr(config, "decoder_start_token_id", None) is None:
        config.update(ids)


def shortened(ids: list[int], length: int) -> list[int]:
    """At most so many labels, the last of which is that of the end."""
    return ids if len(ids) <= length else [*ids[: length - 1], ids[-1]]


class WrittenText(Task):
    """Adds texts that a decoder writes: their labels, the ids in the config, and how they are compared.

    Texts are compared with single spaces between words. The processor has a `tokenizer`.
    """

    max_target_length: int = Field(default=128, ge=2, le=10**5)
    """Tokens of a text, its end among them, and generated at most; longer texts are truncated."""
    num_beams: int = Field(default=1, ge=1, le=100)
    """Beams of the beam search in scoring; 1 is greedy decoding."""

    @classmethod
    def likeness(cls, columns: Mapping[str, str], rows: Sampled) -> float:
        """A caption is not what stands in the image."""
        words = re.split("[^a-z]+", columns.get("text", "").lower())
        return -1.0 if any(word.startswith(("caption", "descri", "prompt", "alt")) for word in words) else 0.0

    def config_fields(self) -> JsonObject:
        if self.processor is None:
            return {}
        tokenizer = self.processor.tokenizer
        return {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": end_token(tokenizer)}

    def labels_of(self, rows: Rows) -> list[list[int]]:
        """Each text, however long, as labels with the token of its end; the model itself puts the first one before."""
        tokenizer, config = self.processor.tokenizer, self.architecture
        start, end = getattr(config, "decoder_start_token_id", None), end_token(tokenizer)
        labels = []
        for ids in tokenizer(rows["text"], verbose=False)["input_ids"]:
            text = ids[ids[:1] == [start] :]
            labels.append(text if text[-1:] == [end] else [*text, end])
        refuse_unknown_ids(labels, tokenizer, config, generates=True)
        return labels

    def text_warnings(self, splits: Mapping[str, Dataset]) -> list[str]:
        """Warnings of texts that are truncated, and of characters that the tokenizer cannot write."""
        texts = {split: rows.select_columns("text") for split, rows in splits.items()}
        warnings = truncated(texts, "max_target_length", self.max_target_length, self.labels_of)
        unknown: dict[str, set[str]] = {}
        for split, rows in texts.items():
            sampled = read_rows(rows.select(range(min(SAMPLED, len(rows)))))["text"]
            if lacking := _unknown_characters(self.processor.tokenizer, set().union(*sampled)):
                unknown[split] = lacking
        if unknown:
            shown = " ".join(sorted(set().union(*unknown.values()))[:_NAMED])
            splits_named = ", ".join(unknown)
            warnings.append(f"the tokenizer cannot write some characters of the texts ({splits_named}): {shown}")
        return warnings

    def finalize(self, model: PreTrainedModel) -> None:
        """Write where generation looks for them: the first token, the last one, and how many there are at most."""
        super().finalize(model)
        for name in ("decoder_start_token_id", "pad_token_id", "eos_token_id"):
            setattr(model.generation_config, name, getattr(model.config, name))
        model.generation_config.max_new_tokens = self.max_target_length

    def postprocess(self, outputs: Outputs, side: Side) -> Predictions:
        tokenizer = self.processor.tokenizer
        ids = np.where(outputs["ids"] < 0, tokenizer.pad_token_id, outputs["ids"])
        return object_array([" ".join(it.split()) for it in tokenizer.batch_decode(ids, skip_special_tokens=True)])

    def references(self, rows: Dataset) -> Predictions:
        return object_array([" ".join(text.split()) for text in rows["text"][:]])

    def wrong(self, reference: str, prediction: str) -> str:
        """No text, or some where there is none."""
        return "" if reference else "?"

    def error(self, prediction: str, reference: str) -> float:
        return text_error(prediction, reference)

    def baseline(self, references: Predictions) -> Outputs:
        """The most frequent text."""
        ((text, _),) = Counter(references.tolist()).most_common(1)
        return {"ids": np.array(self.labels_of({"text": [text]})[0])}

    def respond(self, outputs: Outputs, side: Side) -> JsonObject:
        return {"text": self.postprocess(outputs, side)[0]}


def _unknown_characters(tokenizer: PreTrainedTokenizerBase, characters: set[str]) -> set[str]:
    """Those of some characters that become the token for what is unknown; spaces may be any token."""
    visible = [character for character in characters if not character.isspace()]
    if tokenizer.unk_token_id is None or not visible:
        return set()
    ids = tokenizer(visible, add_special_tokens=False, verbose=False)["input_ids"]
    return {character for character, tokens in zip(visible, ids, strict=True) if tokenizer.unk_token_id in tokens}
