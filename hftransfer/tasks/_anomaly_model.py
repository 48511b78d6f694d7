"""The model of anomaly detection: a frozen encoder, and how far what it gives is from what it gave for normal rows.

One graph gives the score, so that it is exported, quantized and timed as a whole. Features are one vector a row, or one
a place of an image (PatchCore, Roth et al. 2022, https://arxiv.org/abs/2106.08265).
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from hftransfer.core.compat import model_classes

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
    from transformers import PretrainedConfig, PreTrainedModel

FIELD = "anomaly"
"""The field of the config that describes the detector: see `AnomalyDetection.config_fields`."""


class DetectorLoader:
    """Builds and loads detectors, as an Auto class does."""

    def __init__(self, model_class: type[PreTrainedModel], description: dict[str, Any]) -> None:
        """Args: the class, and what `FIELD` holds of a model that has seen no rows."""
        self.model_class, self.description = model_class, description
        # For messages.
        self.__name__ = model_class.__name__

    def from_config(self, config: PretrainedConfig) -> PreTrainedModel:
        """A detector with random weights that has seen no rows."""
        return self.model_class(self._described(config))

    def from_pretrained(self, *args: Any, **kwargs: Any) -> Any:
        """A detector as it was saved or, of a config without `FIELD`, the encoder of any model with such a one."""
        if "config" in kwargs:
            self._described(kwargs["config"])
        return self.model_class.from_pretrained(*args, **kwargs)

    def _described(self, config: PretrainedConfig) -> PretrainedConfig:
        # Transformers takes no field from a caller that the config of a checkpoint lacks.
        if not hasattr(config, FIELD):
            setattr(config, FIELD, self.description)
        return config


def loader(config: PretrainedConfig, description: dict[str, Any]) -> DetectorLoader:
    """What loads the detectors whose encoder is a model of this config."""
    encoder_class: Any = model_classes("AutoModel", config)[0]
    return DetectorLoader(_detector_class(encoder_class), description)


@cache
def _detector_class(encoder_class: type[PreTrainedModel]) -> type[PreTrainedModel]:
    from transformers import PreTrainedModel
    from transformers.utils import ModelOutput

    class AnomalyDetector(PreTrainedModel):
        """Encoder and detector; the encoder's weights have the names that they have under any other head."""

        config_class = encoder_class.config_class
        base_model_prefix = encoder_class.base_model_prefix or "encoder"
        main_input_name = encoder_class.main_input_name

        def __init__(self, config: PretrainedConfig) -> None:
            super().__init__(config)
            setattr(self, self.base_model_prefix, encoder_class(config))
            self.detector = _detector(getattr(config, FIELD))
            self.post_init()

        def _init_weights(self, module: nn.Module) -> None:
            self.base_model._init_weights(module)

        def features(self, **inputs: Tensor) -> Tensor:
            """One vector a row, (rows, 1, channels), or one a place, (rows, height x width, channels)."""
            return features_of(self, inputs)[0]

        def forward(
            self,
            pixel_values: Tensor | None = None,
            input_ids: Tensor | None = None,
            attention_mask: Tensor | None = None,
            token_type_ids: Tensor | None = None,
            input_values: Tensor | None = None,
            input_features: Tensor | None = None,
            **_: Any,
        ) -> ModelOutput:
            """`score` of shape (rows,), of patches also `map`, the distances of shape (rows, height, width)."""
            named = {
                "pixel_values": pixel_values,
                "input_ids": input_ids,
                "attention_mask": attention_mask,
                "token_type_ids": token_type_ids,
                "input_values": input_values,
                "input_features": input_features,
            }
            features, grid = features_of(self, {name: it for name, it in named.items() if it is not None})
            return ModelOutput(score_of(self.detector(features), grid, getattr(self.config, FIELD)))

    return AnomalyDetector


def features_of(model: PreTrainedModel, inputs: dict[str, Tensor]) -> tuple[Tensor, tuple[int, int] | None]:
    """The vectors that the detector compares, shape (rows, places, channels), and the grid of the places."""
    encoder, how = model.base_model, getattr(model.config, FIELD)
    if getattr(model.config, "is_encoder_decoder", False):
        encoder = encoder.get_encoder()
    if how["patches"]:
        maps = _maps(encoder, how["layers"] or default_layers(encoder), inputs)
        height, width = maps.shape[-2:]
        return maps.flatten(2).transpose(1, 2), (height, width)
    return _pooled(encoder(**inputs)[0], inputs.get("attention_mask"))[:, None], None


def _pooled(hidden: Tensor, mask: Tensor | None) -> Tensor:
    """The mean over places or tokens, without padding."""
    if hidden.ndim == 4:
        return hidden.mean(dim=(2, 3))
    if mask is None or mask.shape[1] != hidden.shape[1]:
        return hidden.mean(dim=1)
    weights = mask.to(hidden.dtype)[..., None]
    return (hidden * weights).sum(dim=1) / weights.sum(dim=1)


def _maps(encoder: nn.Module, layers: list[str], inputs: dict[str, Tensor]) -> Tensor:
    """The outputs of some layers, the later ones resized to the first, shape (rows, channels, height, width)."""
    import torch

    seen: dict[str, Any] = {}

    def keep(name: str) -> Any:
        return lambda _module, _args, output: seen.__setitem__(name, output)

    hooks = [encoder.get_submodule(name).register_forward_hook(keep(name)) for name in layers]
    try:
        encoder(**inputs)
    finally:
        for hook in hooks:
            hook.remove()
    first, *others = [_as_map(seen[name]) for name in layers]
    size = first.shape[-2:]
    return torch.cat([first, *(torch.nn.functional.interpolate(it, size, mode="bilinear") for it in others)], dim=1)


def _as_map(output: Any) -> Tensor:
    """A layer's output as (rows, channels, height, width); tokens without a place (the class token) stand first."""
    tensor: Tensor = output if hasattr(output, "ndim") else output[0]
    if tensor.ndim == 4:
        return tensor
    side = int(tensor.shape[1] ** 0.5)
    return tensor[:, -side * side :].transpose(1, 2).unflatten(2, (side, side))


def default_layers(encoder: nn.Module) -> list[str]:
    """The blocks after a quarter and after half of an encoder, as in PatchCore's 2nd and 3rd of 4 stages."""
    import torch

    lists = {name: len(it) for name, it in encoder.named_modules() if isinstance(it, torch.nn.ModuleList)}
    outer = [name for name in lists if not any(name.startswith(f"{other}.") for other in lists)]
    blocks = [f"{name}.{number}" for name in outer for number in range(lists[name])]
    return list(dict.fromkeys(blocks[place] for place in (len(blocks) // 4, len(blocks) // 2))) if blocks else []


def _detector(how: dict[str, Any]) -> nn.Module:
    """A detector of the sizes in the config, its buffers empty until `fit` or `from_pretrained` fills them."""
    import torch

    class Detector(torch.nn.Module):
        """Distances to the nearest normal vectors, after mean and scale; Mahalanobis is the distance to the mean."""

        def __init__(self) -> None:
            super().__init__()
            channels, bank = how["channels"], how["bank"]
            sizes = {"length": (0,), "deviation": (channels,), "whiten": (channels, channels)}[how["scale"]]
            self.register_buffer("mean", torch.zeros(channels))
            self.register_buffer("whitening", torch.zeros(sizes))
            self.register_buffer("bank", torch.zeros(bank, channels))

        def scaled(self, features: Tensor) -> Tensor:
            if how["scale"] == "length":
                return torch.nn.functional.normalize(features, dim=-1)
            centred = features - self.mean
            return centred @ self.whitening if how["scale"] == "whiten" else centred * self.whitening

        def forward(self, features: Tensor) -> Tensor:
            """(rows, places, channels) to (rows, places)."""
            scaled = self.scaled(features)
            squares = (scaled**2).sum(-1, keepdim=True) + (self.bank**2).sum(-1)
            distances = (squares - 2 * scaled @ self.bank.T).clamp(min=0)
            count = min(how["neighbours"], how["bank"])
            # The least of many is found far faster than the sorted least few.
            nearest = (
                distances.amin(-1, keepdim=True) if count == 1 else distances.topk(count, dim=-1, largest=False).values
            )
            # The root of 0 has no derivative, and float32 leaves about this much.
            mean: Tensor = (nearest + 1e-12).sqrt().mean(-1)
            return mean

    return Detector()


def score_of(distances: Tensor, grid: tuple[int, int] | None, how: dict[str, Any]) -> dict[str, torch.Tensor]:
    """The score of each row out of the distances of its places: the mean of the `top` largest, after smoothing."""
    import torch

    if grid is None:
        return {"score": distances[:, 0]}
    heat, window = distances.unflatten(1, grid), how["smooth"]
    if window > 1:
        pooled = torch.nn.functional.avg_pool2d(heat[:, None], window, 1, window // 2, count_include_pad=False)
        heat = pooled[:, 0]
    return {"score": heat.flatten(1).topk(min(how["top"], grid[0] * grid[1]), dim=1).values.mean(1), "map": heat}


def fill(model: PreTrainedModel, arrays: dict[str, Any]) -> None:
    """Give a model the buffers of its detector, `mean`, `whitening` and `bank`; the config gets their sizes."""
    import torch

    how = getattr(model.config, FIELD) | {"channels": arrays["bank"].shape[1], "bank": arrays["bank"].shape[0]}
    setattr(model.config, FIELD, how)
    model.detector = _detector(how)
    for name, array in arrays.items():
        model.detector.register_buffer(name, torch.as_tensor(array, dtype=torch.float32))
    model.detector.to(model.device)
