"""What the tasks on images make of transparency and of more than 8 bits a channel; models of other than 3 channels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
from pydantic import PrivateAttr, field_validator

from hftransfer.core.errors import DataError, ModelError
from hftransfer.core.media import PixelError, has_wide_pixels, location, loses_bits, opened, rgb
from hftransfer.tasks import Task
from hftransfer.tasks._images import rgb_lines

if TYPE_CHECKING:
    from datasets import Dataset
    from PIL.Image import Image
    from transformers import PretrainedConfig, PreTrainedModel

# The names under which configs say how many channels an image has.
_CHANNELS = ("num_channels", "in_channels", "in_chans")
# A range that is so many times that of all values but one in a thousand is stretched by a few pixels.
_STRETCHED = 4
# Images with an alpha channel that are looked at; photos and screenshots often have one, opaque all over.
_DECODED = 64
_OTHER = {"white": "black", "black": "white"}


@dataclass(frozen=True)
class _Survey:
    """What the training images are, of those whose pixels need more than a conversion to RGB."""

    images: int = 0
    alpha: int = 0
    """Of these, with an alpha channel or a transparent colour."""
    transparent: int = 0
    """Of the first 64 of them, those that are transparent somewhere."""
    blank: int = 0
    """Of the same, those of which nothing is seen on the background."""
    wide: int = 0
    """Of one channel of 16 or 32 bits."""
    pixel_range: tuple[int, int] | None = None
    """Their least and largest value."""
    halved: int = 0
    """Of several channels of 16 bits, of which Pillow reads 8."""
    most: tuple[int, int] | None = None
    """The mean of the values, over images, that one in a thousand is below and above."""


class ImageInput(Task):
    """Adds `rgb`, by which every image goes to the model: its transparency laid on a background, its values scaled."""

    background: Literal["white", "black"] = "white"
    """What transparent pixels are laid on."""
    pixel_range: tuple[int, int] | None = None
    """The values that are black and white in images of one channel of 16 or 32 bits; left out, the least and the
    largest of the training images."""

    _survey: _Survey = PrivateAttr(default=_Survey())

    @field_validator("pixel_range")
    @classmethod
    def _rises(cls, value: tuple[int, int] | None) -> tuple[int, int] | None:
        if value is not None and value[0] >= value[1]:
            raise ValueError(f"the value that is white is larger than the one that is black, got {list(value)}")
        return value

    def rgb(self, image: Image) -> Image:
        """An image as the model sees it, in mode RGB.

        Raises:
            DataError: it is of a kind that the training images are not, and nobody knows what is white.
        """
        try:
            return rgb(image, self.pixel_range, self.background)
        except PixelError as error:
            raise DataError(f"an image cannot be used: {error}; task.pixel_range names black and white") from None

    def fit(self, rows: Dataset) -> Self:
        """Find the scale of images of 16 bits: one for all of them, so that one bright pixel does not darken others."""
        fitted, survey = super().fit(rows), _survey_images(rows, self.background)
        if fitted.pixel_range is None and survey.pixel_range is not None:
            low, high = survey.pixel_range
            fitted = fitted.model_copy(update={"pixel_range": (low, max(high, low + 1))})
        return fitted._with(survey=survey)

    def finalize(self, model: PreTrainedModel) -> None:
        """Write the scale where whoever loads the model finds it."""
        super().finalize(model)
        # A wrapper of several models has no config of its own.
        for config in [part.config for part in model.modules() if hasattr(part, "save_pretrained")]:
            if self.pixel_range is not None:
                config.pixel_range = list(self.pixel_range)
            elif hasattr(config, "pixel_range"):
                # Of an earlier run.
                del config.pixel_range

    @property
    def pipeline_preparation(self) -> tuple[str, str]:
        wide = self.pixel_range is not None
        low, high = self.pixel_range or (0, 0)
        scaled = f", and images of 16 bits scaled from {low:,} (black) to {high:,} (white)" if wide else ""
        sentence = f"What is transparent was laid on {self.background} for the model{scaled}; a pipeline does not do so"
        imports = "import numpy as np\n" * wide + "from PIL import Image, ImageOps\n\n"
        return sentence, f"{imports}{rgb_lines(self.pixel_range, self.background)}answer = pipe(image)"

    def check(self, splits: Mapping[str, Dataset], config: PretrainedConfig) -> list[str]:
        vision = [config, *(getattr(config, name, None) for name in ("vision_config", "backbone_config", "encoder"))]
        for name, part in ((name, part) for part in vision for name in _CHANNELS):
            channels = getattr(part, name, None)
            if isinstance(channels, int) and channels != 3:
                raise ModelError(
                    f"the model takes images of {channels} channel{'s' * (channels > 1)} ({name}), and images are read "
                    "as RGB, grey ones too: take a checkpoint, or model.config, of 3 channels"
                )
        return super().check(splits, config) + self._image_warnings()

    def _image_warnings(self) -> list[str]:
        seen, warnings = self._survey, []
        if seen.transparent:
            warnings.append(
                f"{seen.alpha} of {seen.images} training images have transparent parts, which are laid on "
                f"{self.background} (task.background); a pipeline does not do so: the card says how"
            )
        if seen.blank:
            warnings.append(
                f"nothing is seen of {seen.blank} of the first {min(seen.alpha, _DECODED)} training images with "
                f"transparent parts on {self.background}: task.background: {_OTHER[self.background]} may show them"
            )
        if seen.halved:
            warnings.append(
                f"{seen.halved} of {seen.images} training images have colours of 16 bits, of which 8 are read: "
                "where they do not fill that range, save them with 8 bits, by one scale"
            )
        if seen.wide and self.pixel_range is not None and seen.most is not None:
            low, high = self.pixel_range
            warnings.append(
                f"{seen.wide} of {seen.images} training images have 16 bits or more: {low:,} is black and {high:,} "
                "white, in all splits (task.pixel_range)"
            )
            if high - low > _STRETCHED * (seen.most[1] - seen.most[0] + 1):
                warnings.append(
                    f"hardly any pixel of them lies outside of {seen.most[0]:,} to {seen.most[1]:,}, so that they are "
                    f"all alike dark or bright: task.pixel_range: [{seen.most[0]}, {seen.most[1]}] would show more"
                )
        return warnings


def _survey_images(rows: Dataset, background: Literal["white", "black"]) -> _Survey:
    """What the images of rows are: decoded are all that have more than 8 bits, and the first that have an alpha."""
    from datasets import Image as ImageColumn

    alpha, decoded, transparent, blank, halved = 0, 0, 0, 0, 0
    ranges = []
    for batch in rows.select_columns("image").cast_column("image", ImageColumn(decode=False)).iter(64):
        for cell in batch["image"]:
            with opened(location(cell)) as image:
                halved += loses_bits(image)
                if has_wide_pixels(image):
                    values = np.asarray(image)
                    ranges.append([values.min(), values.max(), *np.percentile(values, [0.1, 99.9], method="nearest")])
                elif image.has_transparency_data:
                    alpha += 1
                    if decoded < _DECODED:
                        decoded += 1
                        opaque, is_blank = _alpha_facts(image, background)
                        transparent += not opaque
                        blank += is_blank
    facts = _Survey(len(rows), alpha=alpha, transparent=transparent, blank=blank, wide=len(ranges), halved=halved)
    if not ranges:
        return facts
    low, high, fewer, more = np.array(ranges, dtype=np.int64).T
    most = (int(fewer.mean()), int(more.mean()))
    return replace(facts, pixel_range=(int(low.min()), int(high.max())), most=most)


def _alpha_facts(image: Image, background: Literal["white", "black"]) -> tuple[bool, bool]:
    """Whether an image with an alpha is opaque all over, and whether on the background nothing but it is seen."""
    alpha = image.convert("RGBA").getchannel("A")
    level = 255 if background == "white" else 0
    opaque = alpha.getextrema() == (255, 255)
    return opaque, not opaque and rgb(image, None, background).getextrema() == ((level, level),) * 3
