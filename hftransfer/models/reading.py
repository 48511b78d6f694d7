"""`from_pretrained` of any class of Transformers, with one sentence for whatever it finds wrong in a checkpoint."""

from __future__ import annotations

import importlib
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hftransfer.core.checkpoint_files import check_files
from hftransfer.core.errors import MissingExtraError, ModelError
from hftransfer.models.compat import tokenizer_loader

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from hftransfer.models.checkpoint import Checkpoint


def read_pretrained(cls: Any, checkpoint: Checkpoint, **kwargs: Any) -> Any:
    """`cls.from_pretrained` of any class of Transformers.

    Raises:
        ModelError: it fails, for a reason in the checkpoint.
        MissingExtraError: it needs a package of an extra.
    """
    try:
        with warnings.catch_warnings():
            # Transformers itself imports the deprecated class.
            warnings.filterwarnings("ignore", "The class .*FeatureExtractor is deprecated")
            reader, needed = tokenizer_loader(cls, checkpoint.path, **checkpoint.hub_kwargs)
            loaded = reader.from_pretrained(checkpoint.path, **checkpoint.hub_kwargs, **needed, **kwargs)
    except Exception as error:
        # What is wrong in a file of others comes as any class, that of tokenizers as a bare Exception.
        reason = " ".join(str(error).split())[:300]
        _refuse_without_sentencepiece(checkpoint.path, reason)
        check_files(Path(checkpoint.path), every=True)
        raise ModelError(f"{cls.__name__} cannot read '{checkpoint.path}': {reason}") from error
    if hasattr(loaded, "get_vocab"):
        _refuse_empty_vocabulary(loaded, checkpoint.path)
    return loaded


def _refuse_without_sentencepiece(path: str, reason: str) -> None:
    """Say what to install where a tokenizer cannot be read for want of a package, which Transformers may misname.

    Raises:
        MissingExtraError: a package by which files of SentencePiece are read is not installed.
    """
    if not re.search("sentencepiece|protobuf|tiktoken", reason, re.IGNORECASE):
        return
    for package in ("sentencepiece", "google.protobuf"):
        try:
            importlib.import_module(package)
        except ImportError:
            raise MissingExtraError(
                f"the tokenizer of '{path}' is read by the package '{package.removeprefix('google.')}', which is not "
                "installed: pip install 'hftransfer-recipes[text]'"
            ) from None


def _refuse_empty_vocabulary(tokenizer: PreTrainedTokenizerBase, path: str) -> None:
    """Refuse a tokenizer that knows special tokens alone: Transformers makes one where no file has its vocabulary.

    Raises:
        ModelError: names the files that are looked for.
    """
    # A lone mark of a space may be among the tokens.
    if len(set(tokenizer.get_vocab()) - set(tokenizer.all_special_tokens)) < 2:
        raise ModelError(
            f"'{path}' has no vocabulary for its {type(tokenizer).__name__} (tokenizer.json, vocab.txt, vocab.json or "
            "a file of SentencePiece): copy the checkpoint again, or name one that has it by model.processor"
        )
