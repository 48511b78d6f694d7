"""The table of families in docs/export.md: models with random weights, exported and compared with PyTorch.

Hidden size 64, two or three layers, weights of a size that gives outputs of about 1. It shows that the mechanics are
right, and says nothing of accuracy.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers

from hftransfer.core import plugins
from hftransfer.core.errors import HFTransferError
from hftransfer.exporters import Exporter, TrainedModel
from hftransfer.reporting.tables import Table

LIMIT = 1e-4
REFUSED = "refused: "
# Batch size, and whether the lengths or images are other than those of the example.
SHAPES = ((2, False), (1, False), (5, False), (3, True))
SPREAD = 0.15

Batch = dict[str, torch.Tensor]
Inputs = Callable[[int, bool], Batch]
"""Makes a batch of so many rows, with the lengths or the image size of the example, or with others."""


@dataclass(frozen=True)
class Family:
    """A model, and a batch of any size for it."""

    model_class: str
    config: Callable[[], Any]
    inputs: Inputs


def _generator(count: int) -> torch.Generator:
    return torch.Generator().manual_seed(count)


def _text(count: int, other: bool) -> Batch:
    length = 23 if other else 16
    ids = torch.randint(5, 120, (count, length), generator=_generator(count))
    mask = torch.ones_like(ids)
    # Padding, as the rows of a batch have it.
    mask[0, length // 2 :] = 0 if count > 1 else 1
    return {"input_ids": ids, "attention_mask": mask}


def _images(side: int, other_width: int | None = None) -> Inputs:
    def make(count: int, other: bool) -> Batch:
        width = other_width if other and other_width else side
        return {"pixel_values": torch.randn(count, 3, side, width, generator=_generator(count))}

    return make


def _waves(masked: bool) -> Inputs:
    def make(count: int, other: bool) -> Batch:
        length = 2500 if other else 1600
        batch = {"input_values": torch.randn(count, length, generator=_generator(count))}
        if masked:
            mask = torch.ones(count, length, dtype=torch.long)
            mask[0, length * 3 // 4 :] = 0 if count > 1 else 1
            batch["attention_mask"] = mask
        return batch

    return make


def _frames(name: str, *shape: int) -> Inputs:
    return lambda count, _: {name: torch.randn(count, *shape, generator=_generator(count))}


def _pairs(count: int, other: bool) -> Batch:
    return _text(count, other) | _images(32)(count, other)


_LABELS = {"num_labels": 3}
_SIZES = {"hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 128}
_ENCODER = _SIZES | {"initializer_range": SPREAD}
_WORDS = _ENCODER | {"vocab_size": 128, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1}
_SPEECH = _ENCODER | {
    "conv_dim": (32, 32, 32),
    "conv_kernel": (10, 3, 2),
    "conv_stride": (5, 2, 2),
    "num_feat_extract_layers": 3,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
    "vocab_size": 32,
    "classifier_proj_size": 32,
    "layerdrop": 0.0,
    "mask_time_prob": 0.0,
}
_BACKBONE = {"embedding_size": 16, "hidden_sizes": [16, 32, 64, 64], "depths": [1, 1, 1, 1], "layer_type": "basic"}
_STAGES = ["stage2", "stage3", "stage4"]
_HYBRID = {
    "encoder_in_channels": [32, 64, 64],
    "encoder_hidden_dim": 32,
    "encoder_ffn_dim": 64,
    "decoder_in_channels": [32, 32, 32],
    "decoder_ffn_dim": 64,
    "decoder_layers": 2,
    "decoder_attention_heads": 4,
    "encoder_attention_heads": 4,
    "d_model": 32,
    "num_queries": 10,
    "num_denoising": 0,
}


def _config(name: str, **fields: Any) -> Callable[[], Any]:
    return lambda: getattr(transformers, name)(**fields)


def _detr() -> Any:
    backbone = transformers.ResNetConfig(**_BACKBONE, out_features=["stage4"])
    sizes = {f"{part}_{name}": size for part in ("encoder", "decoder") for name, size in _DETR.items()}
    return transformers.DetrConfig(
        use_timm_backbone=False, backbone=None, backbone_config=backbone, d_model=64, num_queries=8, **sizes, **_LABELS
    )


_DETR = {"layers": 2, "attention_heads": 4, "ffn_dim": 128}


def _rt_detr_v2() -> Any:
    backbone = transformers.RTDetrResNetConfig(**_BACKBONE, out_features=_STAGES)
    return transformers.RTDetrV2Config(backbone_config=backbone, **_HYBRID, **_LABELS, decoder_n_points=2)


def _d_fine() -> Any:
    backbone = transformers.HGNetV2Config(
        stem_channels=[3, 8, 16],
        stage_in_channels=[16, 16, 32, 64],
        stage_mid_channels=[8, 8, 16, 16],
        stage_out_channels=[16, 32, 64, 64],
        stage_num_blocks=[1, 1, 1, 1],
        stage_numb_of_layers=[1, 1, 1, 1],
        hidden_sizes=[16, 32, 64, 64],
        out_features=_STAGES,
    )
    return transformers.DFineConfig(backbone_config=backbone, **_HYBRID, **_LABELS, decoder_n_points=[2, 2, 2])


def _clip(name: str) -> Callable[[], Any]:
    text = _SIZES | {"vocab_size": 128, "max_position_embeddings": 32, "eos_token_id": 2, "pad_token_id": 0}
    vision = _SIZES | {"image_size": 32, "patch_size": 8}
    return lambda: getattr(transformers, name)(text_config=text, vision_config=vision)


FAMILIES = {
    "BERT": Family("BertForSequenceClassification", _config("BertConfig", **_WORDS, **_LABELS), _text),
    "BERT, tokens": Family("BertForTokenClassification", _config("BertConfig", **_WORDS, **_LABELS), _text),
    "BERT, answers": Family("BertForQuestionAnswering", _config("BertConfig", **_WORDS), _text),
    "DistilBERT": Family(
        "DistilBertForSequenceClassification",
        _config(
            "DistilBertConfig", vocab_size=128, dim=64, n_layers=3, n_heads=4, hidden_dim=128, initializer_range=SPREAD,
            **_LABELS,
        ),
        _text,
    ),
    "RoBERTa": Family("RobertaForSequenceClassification", _config("RobertaConfig", **_WORDS, **_LABELS), _text),
    "XLM-R": Family("XLMRobertaForSequenceClassification", _config("XLMRobertaConfig", **_WORDS, **_LABELS), _text),
    "DeBERTa-v2 and v3": Family(
        "DebertaV2ForSequenceClassification",
        _config(
            "DebertaV2Config", **_WORDS, **_LABELS, pos_att_type=["p2c", "c2p"], relative_attention=True,
            position_buckets=16, norm_rel_ebd="layer_norm", share_att_key=True,
        ),
        _text,
    ),
    "ModernBERT": Family(
        "ModernBertForSequenceClassification",
        _config("ModernBertConfig", **_WORDS, **_LABELS, sep_token_id=2),
        _text,
    ),
    "ViT": Family(
        "ViTForImageClassification",
        _config("ViTConfig", **_ENCODER, **_LABELS, image_size=32, patch_size=8),
        _images(32),
    ),
    "DINOv2": Family(
        "Dinov2ForImageClassification",
        _config(
            "Dinov2Config", hidden_size=64, num_hidden_layers=3, num_attention_heads=4, mlp_ratio=2, image_size=56,
            patch_size=14, initializer_range=SPREAD, **_LABELS,
        ),
        _images(56),
    ),
    "DINOv3": Family(
        "DINOv3ViTModel", _config("DINOv3ViTConfig", **_ENCODER, image_size=32, patch_size=8), _images(32, 48)
    ),
    "SwinV2": Family(
        "Swinv2ForImageClassification",
        _config(
            "Swinv2Config", image_size=32, patch_size=2, embed_dim=32, depths=[1, 2], num_heads=[2, 4], window_size=4,
            initializer_range=SPREAD, **_LABELS,
        ),
        _images(32),
    ),
    "ConvNeXtV2": Family(
        "ConvNextV2ForImageClassification",
        _config(
            "ConvNextV2Config", hidden_sizes=[32, 64], depths=[1, 2], num_stages=2, initializer_range=SPREAD, **_LABELS
        ),
        _images(64, 96),
    ),
    "ResNet": Family("ResNetForImageClassification", _config("ResNetConfig", **_BACKBONE, **_LABELS), _images(64, 96)),
    "MobileNetV2": Family(
        "MobileNetV2ForImageClassification",
        _config("MobileNetV2Config", depth_multiplier=0.35, image_size=64, initializer_range=0.1, **_LABELS),
        _images(64, 96),
    ),
    "EfficientNet": Family(
        "EfficientNetForImageClassification",
        _config(
            "EfficientNetConfig", image_size=64, width_coefficient=0.25, depth_coefficient=0.25, hidden_dim=320,
            **_LABELS,
        ),
        _images(64, 96),
    ),
    "CLIP": Family("CLIPModel", _clip("CLIPConfig"), _pairs),
    "SigLIP 2": Family("SiglipModel", _clip("SiglipConfig"), lambda count, _: _pairs(count, False)),
    "SegFormer": Family(
        "SegformerForSemanticSegmentation",
        _config(
            "SegformerConfig", num_encoder_blocks=2, depths=[1, 1], sr_ratios=[2, 1], hidden_sizes=[32, 64],
            patch_sizes=[7, 3], strides=[4, 2], num_attention_heads=[1, 2], mlp_ratios=[2, 2], decoder_hidden_size=64,
            initializer_range=SPREAD, **_LABELS,
        ),
        _images(64, 96),
    ),
    "YOLOS": Family(
        "YolosForObjectDetection",
        _config(
            "YolosConfig", **_ENCODER, **_LABELS, image_size=[64, 64], patch_size=16, num_detection_tokens=8
        ),
        _images(64, 96),
    ),
    "DETR": Family("DetrForObjectDetection", _detr, _images(64, 96)),
    "RT-DETRv2": Family("RTDetrV2ForObjectDetection", _rt_detr_v2, _images(64, 96)),
    "D-FINE": Family("DFineForObjectDetection", _d_fine, _images(64, 96)),
    "wav2vec2": Family("Wav2Vec2ForCTC", _config("Wav2Vec2Config", **_SPEECH), _waves(False)),
    "wav2vec2, padded": Family(
        "Wav2Vec2ForCTC",
        _config("Wav2Vec2Config", **_SPEECH, feat_extract_norm="layer", do_stable_layer_norm=True),
        _waves(True),
    ),
    "HuBERT": Family(
        "HubertForSequenceClassification", _config("HubertConfig", **_SPEECH, **_LABELS), _waves(False)
    ),
    "WavLM": Family("WavLMForSequenceClassification", _config("WavLMConfig", **_SPEECH, **_LABELS), _waves(False)),
    "w2v-BERT 2.0": Family(
        "Wav2Vec2BertForSequenceClassification",
        _config("Wav2Vec2BertConfig", **_ENCODER, **_LABELS, feature_projection_input_dim=40, mask_time_prob=0.0),
        _frames("input_features", 50, 40),
    ),
    "AST": Family(
        "ASTForAudioClassification",
        _config(
            "ASTConfig", **_ENCODER, **_LABELS, patch_size=16, max_length=64, num_mel_bins=32, frequency_stride=8,
            time_stride=8,
        ),
        _frames("input_values", 64, 32),
    ),
    "Whisper, encoder": Family(
        "WhisperForAudioClassification",
        _config(
            "WhisperConfig", vocab_size=128, d_model=64, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4,
            decoder_attention_heads=4, encoder_ffn_dim=128, decoder_ffn_dim=128, max_source_positions=50,
            num_mel_bins=16, init_std=SPREAD, pad_token_id=0, bos_token_id=1, eos_token_id=1, decoder_start_token_id=2,
            **_LABELS,
        ),
        _frames("input_features", 16, 100),
    ),
}  # fmt: skip


class _Processor:
    """Stands for one that makes images of one size, or of any."""

    def __init__(self, one_size: bool) -> None:
        self.do_center_crop = one_size

    def save_pretrained(self, folder: Path) -> None:
        """Nothing to save."""


def _model(family: Family) -> Any:
    torch.manual_seed(0)
    model = getattr(transformers, family.model_class)(family.config()).eval()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
    return model


def largest_difference(exporter: Exporter, model: Any, inputs: Inputs, folder: Path) -> float:
    """Of all float outputs over four shapes, in units of the largest output where that is above 1."""
    largest = 0.0
    example = inputs(2, False)
    one_size = all(value.shape[-1] == inputs(2, True)[name].shape[-1] for name, value in example.items())
    trained = TrainedModel(None, model, _Processor(one_size), folder, example)  # type: ignore[arg-type]
    exporter.check("transformers", "AutoModel", model.config)
    exporter.export(trained, "transformers", folder)
    exported = exporter.open(folder, 1)
    for shape in SHAPES:
        batch = inputs(*shape)
        with torch.inference_mode():
            expected = model(**batch)
        found = exported(**batch)
        names = [name for name in found if isinstance(expected.get(name), torch.Tensor)]
        assert names, (type(model), list(found), list(expected))
        for name in names:
            scale = max(1.0, float(expected[name].abs().max()))
            largest = max(largest, float((found[name] - expected[name]).abs().max()) / scale)
    return largest


def _cell(runtime: str, family: Family) -> str:
    with tempfile.TemporaryDirectory() as folder:
        try:
            exporter = plugins.load("exporters", runtime)()
            return f"{largest_difference(exporter, _model(family), family.inputs, Path(folder)):.1g}"
        except HFTransferError as error:
            return f"{REFUSED}{error}"


def families(place: Path) -> tuple[Table, bool]:
    """Every family by both runtimes, and whether all differences are small; `place` keeps what was measured."""
    torch.set_num_threads(1)
    found: dict[str, list[str]] = json.loads(place.read_text()) if place.is_file() else {}
    for name in FAMILIES.keys() - found.keys():
        found[name] = [_cell(runtime, FAMILIES[name]) for runtime in ("onnx", "openvino")]
        print(name, *found[name], sep=" | ", flush=True)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(json.dumps(found))
    rows = [(name, family.model_class, *found[name]) for name, family in FAMILIES.items()]
    cells = [cell for row in rows for cell in row[2:] if not cell.startswith(REFUSED)]
    return Table("", ("family", "class", "ONNX", "OpenVINO"), rows), all(float(cell) <= LIMIT for cell in cells)
