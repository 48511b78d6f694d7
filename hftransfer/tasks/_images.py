"""What the tasks on images share."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from hftransfer.core.compat import image_processor_class
from hftransfer.core.media import location, read_image
from hftransfer.tasks import Processor, Rendered, Rows

if TYPE_CHECKING:
    from datasets import Dataset
    from PIL.Image import Image
    from transformers import PretrainedConfig

    from hftransfer.core.data_facts import InputFact


# Images of a split that are encoded to see what becomes of their sizes.
_ENCODED = 32


def input_facts(rows: Dataset, size_of: Callable[[Rows], tuple[int, int]]) -> dict[InputFact, np.ndarray]:
    """`scale`, `squeeze` and `side` of the first rows, NaN for the others.

    `size_of` gives height and width of the model's input for a batch of one row.
    """
    import datasets
    from PIL import Image as Pictures

    values = np.full((3, len(rows)), np.nan)
    undecoded = rows.cast_column("image", datasets.Image(decode=False))
    for row in range(min(_ENCODED, len(rows))):
        batch = undecoded[row : row + 1]
        width, height = read_image(location(batch["image"][0]), decode=False).size
        # What becomes of the size does not depend on what is in the image.
        new_height, new_width = size_of(batch | {"image": [Pictures.new("RGB", (width, height))]})
        low, high = sorted((new_width / width, new_height / height))
        values[:, row] = low, high / low, min(new_width, new_height)
    names: tuple[InputFact, ...] = ("scale", "squeeze", "side")
    return dict(zip(names, values, strict=True))


def new_processor(config: PretrainedConfig, side: int | None = None) -> Processor:
    """The image processor of a new model, with the given side or that of its config; None where it has none."""
    kind = image_processor_class(config)
    if kind is None:
        return None
    size = side or getattr(config, "image_size", None)
    return kind() if size is None else resized_to(kind(), size)


def resized_to(processor: Processor, side: int | tuple[int, int]) -> Processor:
    """A processor of the same kind and fields that makes images of a side, or of a height and width."""
    height, width = (side, side) if isinstance(side, int) else side
    fixed = {"height": height, "width": width}
    # Detectors keep the shape of an image by default; their config says otherwise.
    whole = "height" in processor.size or "longest_edge" in processor.size
    sizes = {"size": fixed if whole else {"shortest_edge": min(height, width)}}
    if hasattr(processor, "crop_size"):
        sizes["crop_size"] = fixed
    fields = {name: value for name, value in processor.to_dict().items() if not name.startswith("_")}
    return type(processor)(**fields | sizes)


def rendered(picture: Image) -> Rendered:
    """What a report shows of a row: a picture, as a base64 PNG."""
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return {"image": base64.b64encode(buffer.getvalue()).decode("ascii")}


def thumbnail(image: Image) -> Rendered:
    """A small copy, for a report, of an image in mode RGB."""
    picture = image.copy()
    picture.thumbnail((160, 160))
    return rendered(picture)


def random_resized_crop(
    pixels: np.ndarray, least: float, rng: np.random.Generator
) -> tuple[np.ndarray, tuple[float, float, float, float]]:
    """A random part of an image (channels, height, width), sides 3:4 to 4:3, in the size of the whole.

    With it its left, top, right and bottom edge, as shares of the whole.
    """
    import torch

    _, height, width = pixels.shape
    area, ratio = rng.uniform(least, 1), np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)))
    high, wide = (
        max(1, round(side)) for side in (height * min(1, (area / ratio) ** 0.5), width * min(1, (area * ratio) ** 0.5))
    )
    top, left = rng.integers(0, height - high + 1), rng.integers(0, width - wide + 1)
    part = torch.from_numpy(np.ascontiguousarray(pixels[:, top : top + high, left : left + wide]))
    resized = torch.nn.functional.interpolate(part[None], size=(height, width), mode="bilinear", antialias=True)
    return np.asarray(resized[0]), (left / width, top / height, (left + wide) / width, (top + high) / height)


def resized_nearest(
    labels: np.ndarray, size: Sequence[int], part: tuple[float, float, float, float] = (0, 0, 1, 1)
) -> np.ndarray:
    """A part of a mask (left, top, right, bottom as shares), in another size (height, width), by the nearest pixels."""
    left, top, right, bottom = part
    height, width = labels.shape
    rows = (height * (top + (bottom - top) * (np.arange(size[0]) + 0.5) / size[0])).astype(int)
    columns = (width * (left + (right - left) * (np.arange(size[1]) + 0.5) / size[1])).astype(int)
    return np.asarray(labels[rows.clip(0, height - 1)][:, columns.clip(0, width - 1)])


def without_crop(processor: Processor) -> Processor:
    """The processor, which then squeezes the whole image into the size that it would crop to: no pixel is lost."""
    if getattr(processor, "do_center_crop", False):
        crop = processor.crop_size
        processor.do_center_crop, processor.size = False, {"height": crop["height"], "width": crop["width"]}
    return processor


def overlay(image: Image, masks: Sequence[np.ndarray], classes: int) -> Rendered:
    """For a report: the image, in mode RGB, then each mask in colours over it, side by side."""
    import matplotlib
    from PIL import Image as Pictures

    picture, scale = image, 160 / max(image.size)
    size = tuple(max(1, round(side * scale)) for side in image.size)
    colours = (matplotlib.colormaps["turbo"](np.linspace(0, 1, max(classes, 2)))[:, :3] * 255).astype(np.uint8)
    layers = [Pictures.fromarray(colours[np.clip(mask, 0, classes - 1)]) for mask in masks]
    strip = Pictures.new("RGB", (size[0] * (1 + len(masks)), size[1]))
    for place, layer in enumerate([picture, *(Pictures.blend(picture, layer, 0.6) for layer in layers)]):
        strip.paste(layer.resize(size), (place * size[0], 0))
    return rendered(strip)


# Processors that do what `snippet_inputs` writes down, in this order: resize, crop, rescale, normalize.
_SNIPPETS = ("Beit", "Bit", "ConvNext", "DeiT", "MobileNetV1", "MobileNetV2", "ViT")


def has_snippet(processor: Processor) -> bool:
    """Whether `snippet_inputs` makes what an image processor makes."""
    # Transformers 4.57 has the suffix Fast for those with torchvision, 5 has Pil for those without.
    name = type(processor).__name__.removesuffix("Fast").removesuffix("Pil")
    known = name.removesuffix("ImageProcessor") in _SNIPPETS
    return known and processor.do_resize and processor.do_rescale and processor.do_normalize


def rgb_lines(pixel_range: tuple[int, int] | None, background: str) -> str:
    """For snippets: the lines that make `image`, in mode RGB, of a file as `rgb` does."""
    lines = 'image = ImageOps.exif_transpose(Image.open("image.png"))\n'
    if pixel_range is not None:
        low, high = pixel_range
        lines += (
            'if image.mode.startswith("I"):  # 16 bits\n'
            f"    values = np.asarray(image).astype(int).clip({low}, {high}) - {low}\n"
            f"    image = Image.fromarray((values * 255 // {high - low}).astype(np.uint8))\n"
        )
    return (
        f'{lines}image = image.convert("RGBA")\n'
        f'image = Image.alpha_composite(Image.new("RGBA", image.size, "{background}"), image).convert("RGB")\n'
    )


def snippet_inputs(processor: Processor, opened: str) -> str:
    """For `runtime_snippet`: the lines that make `inputs` of an image with Pillow alone, as an image processor does.

    `opened` are those of `rgb_lines`.
    """
    how = processor.to_dict()
    size, crop = how["size"], how["crop_size"] if how.get("do_center_crop") else None
    if "crop_pct" in how:
        # ConvNeXt and ResNet: small images are cut out of larger ones, large ones are made square.
        side = size["shortest_edge"]
        square = {"height": side, "width": side}
        size, crop = ({"shortest_edge": int(side / how["crop_pct"])}, square) if side < 384 else (square, None)
    sides = (
        f"[int(side * {size['shortest_edge']} / min(image.size)) for side in image.size]"
        if "shortest_edge" in size
        else f"({size['width']}, {size['height']})"
    )
    cut = ""
    if crop:
        height, width = crop["height"], crop["width"]
        cut = (
            f"left, top = (image.width - {width}) // 2, (image.height - {height}) // 2\n"
            f"image = image.crop((left, top, left + {width}, top + {height}))\n"
        )
    return (
        "from PIL import Image, ImageOps\n\n"
        f"{opened}"
        f"image = image.resize({sides}, {int(how['resample'])})\n"
        f"{cut}"
        f"pixels = np.asarray(image, np.float32) * {how['rescale_factor']}\n"
        f"pixels = (pixels - {how['image_mean']}) / {how['image_std']}\n"
        'inputs = {"pixel_values": pixels.transpose(2, 0, 1)[None].astype(np.float32)}\n'
    )
