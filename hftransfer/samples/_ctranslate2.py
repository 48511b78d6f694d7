"""Whisper as CTranslate2 stores it, read with numpy and written as a checkpoint of Transformers.

`model.bin` holds a header, then for each tensor its name, shape, type, bytes, then names that stand for another tensor:
https://github.com/OpenNMT/CTranslate2/blob/master/python/ctranslate2/specs/model_spec.py
"""

from __future__ import annotations

import json
import re
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hftransfer.core.errors import ModelError

if TYPE_CHECKING:
    from transformers import WhisperConfig, WhisperProcessor

_TYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}
_END, _START, _NO_TIMES = "<|endoftext|>", "<|startoftranscript|>", "<|notimestamps|>"
# Part of a name in CTranslate2 -> the parts in Transformers; a stacked matrix becomes several.
_ATTENTION = {
    "linear_0": ["q_proj", "k_proj", "v_proj"],
    "linear_1": ["out_proj"],
}
_CROSS_ATTENTION = {"linear_0": ["q_proj"], "linear_1": ["k_proj", "v_proj"], "linear_2": ["out_proj"]}
_PLACES = {"self_attention": "self_attn", "attention": "encoder_attn", "ffn": "final"}
_WHOLE = {
    "position_encodings/encodings": "embed_positions.weight",
    "embeddings/weight": "embed_tokens.weight",
    "layer_norm/gamma": "layer_norm.weight",
    "layer_norm/beta": "layer_norm.bias",
}
_LAYER = re.compile(r"(encoder|decoder)/layer_(\d+)/(self_attention|attention|ffn)/(\w+)/(\w+)")


def read_tensors(content: bytes) -> dict[str, np.ndarray]:
    """Name -> array of every tensor of a `model.bin`.

    Raises:
        ModelError: it is no such file, or ends too early.
    """
    place = 0

    def number(form: str) -> int:
        nonlocal place
        value: int = struct.unpack_from(f"<{form}", content, place)[0]
        place += struct.calcsize(form)
        return value

    def text() -> str:
        nonlocal place
        length = number("H")
        place += length
        # The last byte is 0.
        return content[place - length : place - 1].decode()

    tensors = {}
    try:
        _version, name, _revision, count = number("I"), text(), number("I"), number("I")
        if name != "WhisperSpec":
            raise ModelError(f"a Whisper of CTranslate2 was expected, got a {name[:40]!r}")
        for _ in range(count):
            name, shape = text(), [number("I") for _ in range(number("B"))]
            kind, size = np.dtype(_TYPES[number("B")]), number("I")
            tensors[name] = np.frombuffer(content, kind, size // kind.itemsize, place).reshape(shape)
            place += size
    except (struct.error, ValueError, KeyError) as error:
        raise ModelError(f"no file of CTranslate2, or one that ends too early: {error}") from None
    return tensors


def convert_whisper(source: Path, target: Path) -> None:
    """Write a Whisper of CTranslate2 (`model.bin`, `config.json`, `tokenizer.json`) as a checkpoint of Transformers.

    The weights are written in float32, since Transformers would compute in the type of the file.

    Raises:
        ModelError: the file is no Whisper, or has a tensor that has no place.
    """
    from safetensors.numpy import save_file
    from transformers import GenerationConfig

    tensors = read_tensors((source / "model.bin").read_bytes())
    processor, config = _processor(source / "tokenizer.json", tensors), _config(tensors)
    tokens = processor.tokenizer
    end, start, no_times = (tokens.convert_tokens_to_ids(token) for token in (_END, _START, _NO_TIMES))
    ids = {"bos_token_id": end, "eos_token_id": end, "pad_token_id": end, "decoder_start_token_id": start}
    config.update(ids)
    known = json.loads((source / "config.json").read_text(encoding="utf-8"))
    generation = GenerationConfig(
        **ids,
        max_length=config.max_target_positions,
        suppress_tokens=known["suppress_ids"],
        begin_suppress_tokens=known["suppress_ids_begin"],
        alignment_heads=known["alignment_heads"],
        no_timestamps_token_id=no_times,
        is_multilingual=False,
        return_timestamps=False,
    )
    save_file(_weights(tensors), target / "model.safetensors", metadata={"format": "pt"})
    for part in (config, generation, processor):
        part.save_pretrained(target)


def _processor(tokenizer: Path, tensors: dict[str, np.ndarray]) -> WhisperProcessor:
    from transformers import WhisperFeatureExtractor, WhisperProcessor, WhisperTokenizerFast

    special = dict.fromkeys(("unk_token", "bos_token", "eos_token", "pad_token"), _END)
    seconds = len(tensors["encoder/position_encodings/encodings"]) // 50
    extractor = WhisperFeatureExtractor(feature_size=tensors["encoder/conv1/weight"].shape[1], chunk_length=seconds)
    return WhisperProcessor(extractor, WhisperTokenizerFast(tokenizer_file=str(tokenizer), **special))


def _config(tensors: dict[str, np.ndarray]) -> WhisperConfig:
    """The sizes, by the shapes of the tensors."""
    from transformers import WhisperConfig

    vocabulary, width = tensors["decoder/embeddings/weight"].shape
    config = WhisperConfig(
        vocab_size=vocabulary,
        d_model=width,
        num_mel_bins=tensors["encoder/conv1/weight"].shape[1],
        max_source_positions=len(tensors["encoder/position_encodings/encodings"]),
        max_target_positions=len(tensors["decoder/position_encodings/encodings"]),
        suppress_tokens=None,
        begin_suppress_tokens=None,
        architectures=["WhisperForConditionalGeneration"],
    )
    for side in ("encoder", "decoder"):
        matches = [_LAYER.match(name) for name in tensors]
        sizes = {
            f"{side}_layers": len({match[2] for match in matches if match and match[1] == side}),
            f"{side}_attention_heads": int(tensors[f"{side}/num_heads"]),
            f"{side}_ffn_dim": len(tensors[f"{side}/layer_0/ffn/linear_0/weight"]),
        }
        config.update(sizes)
    return config


def _weights(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The weights by their names in Transformers, in float32; `proj_out` is tied to the embeddings and left out."""
    weights: dict[str, np.ndarray] = {}
    for name, array in tensors.items():
        # Numbers such as the number of heads have no shape.
        if not array.ndim:
            continue
        parts = _parts(name)
        for part, piece in zip(parts, np.split(array, len(parts)), strict=True):
            if part.endswith("k_proj.bias"):
                if piece.any():
                    raise ModelError(f"'{name}' has a bias of keys, for which Whisper has no place")
                continue
            weights[f"model.{part}"] = np.ascontiguousarray(piece, dtype=np.float32)
    return weights


def _parts(name: str) -> list[str]:
    """The names of the tensors that one of CTranslate2 becomes, stacked in this order."""
    side, _, rest = name.partition("/")
    if rest in _WHOLE:
        return [f"{side}.{_WHOLE[rest]}"]
    if (match := _LAYER.fullmatch(name)) is None:
        return [name.replace("/", ".")]
    _, number, block, layer, kind = match.groups()
    prefix, place = f"{side}.layers.{number}", _PLACES[block]
    if layer == "layer_norm":
        return [f"{prefix}.{place}_layer_norm.{'weight' if kind == 'gamma' else 'bias'}"]
    if block == "ffn":
        return [f"{prefix}.fc{int(layer[-1]) + 1}.{kind}"]
    stacked = (_ATTENTION if block == "self_attention" else _CROSS_ATTENTION)[layer]
    return [f"{prefix}.{place}.{part}.{kind}" for part in stacked]
