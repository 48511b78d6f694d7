"""Models with a tower each for images and texts (CLIP, SigLIP): their loss, their processors, their texts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hftransfer.core.errors import ModelError
from hftransfer.tasks._images import new_processor
from hftransfer.tasks._limits import refuse_unknown_ids

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from torch import Tensor
    from transformers import PretrainedConfig

    from hftransfer.tasks import Processor

# What `transformers.pipeline` pads the texts of a SigLIP to, whatever its config says.
PIPELINE_LENGTH = 64


def is_sigmoid(config: PretrainedConfig) -> bool:
    """Whether each pair is a choice of two by itself (SigLIP), as `transformers.pipeline` decides it; else a softmax.

    The texts of such a model are padded to their full length, as in its training.
    """
    return "siglip" in config.model_type


def contrastive_loss(sigmoid: bool) -> Callable[[Any, Tensor], Tensor]:
    """The loss of a batch, from the model's output and `labels` of shape (rows, 2), numbers of the text and the image.

    A row's image belongs to every text of the batch that is equal to its own, or is of an equal image; such pairs are
    no negatives. Where all are different, these are the losses of Transformers' own models.

    - softmax: cross-entropy both ways, the target shared among a row's positives (UniCL; Yang et al. 2022,
      https://arxiv.org/abs/2204.03610, equations 2 to 4; without labels CLIP's, https://arxiv.org/abs/2103.00020)
    - sigmoid: -log sigmoid(z * logits), z = 1 for positives, else -1, summed over pairs and divided by rows (SigLIP;
      Zhai et al. 2023, https://arxiv.org/abs/2303.15343, equation 1)
    """

    def loss(output: Any, labels: Tensor) -> Tensor:
        from torch.nn import functional

        logits = output.logits_per_image.float()
        positives = (labels[:, None] == labels[None]).any(dim=-1)
        if sigmoid:
            signs = positives.to(logits) * 2 - 1
            return -functional.logsigmoid(signs * logits).sum() / len(labels)
        # Symmetric, as what is equal to what is.
        targets = positives.to(logits)
        targets = targets / targets.sum(dim=1, keepdim=True)
        return (functional.cross_entropy(logits, targets) + functional.cross_entropy(logits.T, targets)) / 2

    return loss


def checked_processor(processor: Processor, config: PretrainedConfig) -> Processor:
    """The processor, which has a part for texts and one for images.

    Raises:
        ModelError: it has not, or the model takes images in pieces of other shapes (SigLIP 2 NaFlex).
    """
    names = getattr(getattr(processor, "image_processor", None), "model_input_names", [])
    if getattr(processor, "tokenizer", None) is None or "pixel_values" not in names:
        raise ModelError(
            f"the checkpoint of this {config.model_type} has no processor for both texts and images "
            "(tokenizer.json and preprocessor_config.json): 'model.processor' names another checkpoint's"
        )
    if "spatial_shapes" in names:
        raise ModelError(
            f"a {config.model_type} takes images in patches of any number; take a checkpoint of one image size, such "
            "as google/siglip2-base-patch16-224"
        )
    return processor


def check_texts(processor: Processor, config: PretrainedConfig, texts: Sequence[str], side: int | None) -> list[str]:
    """Warnings about texts, of which some captions or all prompts are given, and `task.image_size`.

    Raises:
        ModelError: the model takes images of another size.
    """
    size, length = getattr(config.vision_config, "image_size", side), most_tokens(processor, config)
    if side not in (None, size):
        raise ModelError(f"task.image_size: a {config.model_type} checkpoint takes images of {size} pixels alone")
    ids = processor.tokenizer(list(texts), verbose=False)["input_ids"]
    refuse_unknown_ids(ids, processor.tokenizer, config)
    long, warnings = sum(len(text) > length for text in ids), []
    if long:
        warnings.append(
            f"{long} of {len(ids)} texts have more than the {length} tokens that the model takes, and are truncated"
        )
    if is_sigmoid(config) and length != PIPELINE_LENGTH:
        warnings.append(
            f"the model takes texts of {length} tokens, and a pipeline gives it {PIPELINE_LENGTH}: call it with "
            f"tokenizer_kwargs={{'max_length': {length}}}"
        )
    return warnings


def probabilities(logits: np.ndarray, config: PretrainedConfig) -> np.ndarray:
    """As `transformers.pipeline` gives them: of SigLIP each class's own, which do not add up to 1; else a softmax."""
    wide = logits.astype(float)
    if is_sigmoid(config):
        return np.asarray(np.exp(-np.logaddexp(0, -wide)))
    exponents = np.exp(wide - wide.max(axis=1, keepdims=True))
    return np.asarray(exponents / exponents.sum(axis=1, keepdims=True))


def most_tokens(processor: Processor, config: PretrainedConfig) -> int:
    """Tokens of a text that the model takes."""
    positions = getattr(config.text_config, "max_position_embeddings", None)
    longest = int(processor.tokenizer.model_max_length)
    return min(longest, positions) if isinstance(positions, int) else longest


def tokenized(processor: Processor, config: PretrainedConfig, texts: Sequence[str]) -> dict[str, list[list[int]]]:
    """Texts as token ids and, where the tokenizer names one (SigLIP's does not), their mask; not yet padded.

    Raises:
        ModelError: a token has no embedding.
    """
    names = [name for name in ("input_ids", "attention_mask") if name in processor.tokenizer.model_input_names]
    length = most_tokens(processor, config)
    made = processor.tokenizer(list(texts), truncation=True, max_length=length, verbose=False)
    refuse_unknown_ids(made["input_ids"], processor.tokenizer, config)
    return {name: made[name] for name in names}


def padded(processor: Processor, config: PretrainedConfig, tokens: dict[str, list[list[int]]]) -> dict[str, Tensor]:
    """What `tokenized` gives as tensors of shape (texts, tokens)."""
    whole = is_sigmoid(config)
    made = processor.tokenizer.pad(
        tokens,
        padding="max_length" if whole else True,
        max_length=most_tokens(processor, config) if whole else None,
        return_tensors="pt",
    )
    return {name: made[name] for name in tokens}


def new_clip_processor(config: PretrainedConfig, texts: Iterable[str]) -> Processor:
    """A processor for a new model: a BPE tokenizer trained on texts, lower-cased, and the images of its config.

    The config gets the ids of the tokenizer's special tokens, since CLIP reads a text at the first token that has the
    id of its end, and at the first one of all where there is none.

    Raises:
        ModelError: Transformers has no processor for such a config.
    """
    import transformers
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

    named = transformers.models.auto.processing_auto.PROCESSOR_MAPPING_NAMES.get(config.model_type)
    images = new_processor(config, getattr(getattr(config, "vision_config", None), "image_size", None))
    if named is None or images is None or not hasattr(config, "text_config"):
        raise ModelError(
            f"model.config: a new processor is made for models such as clip and siglip, and not for "
            f"{config.model_type}: give 'model.processor', the checkpoint to take it from"
        )
    # Not 2 for the end: by that id CLIP knows old configs, and reads a text at its highest id.
    special = ["<pad>", "<|startoftext|>", "<unk>", "<|endoftext|>"]
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.BpeTrainer(
        vocab_size=config.text_config.vocab_size,
        special_tokens=special,
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    frame = [(special[1], 1), (special[3], 3)]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{special[1]} $A {special[3]}", special_tokens=frame
    )
    config.text_config.update({"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 3})
    return getattr(transformers, named)(
        images,
        transformers.PreTrainedTokenizerFast(
            tokenizer_object=tokenizer,
            pad_token=special[0],
            bos_token=special[1],
            unk_token=special[2],
            eos_token=special[3],
            model_max_length=config.text_config.max_position_embeddings,
            model_input_names=["input_ids"] if is_sigmoid(config) else ["input_ids", "attention_mask"],
        ),
    )
