"""What a script of plain Transformers has to know of recordings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from hftransfer.core.errors import RecipeError
from hftransfer.core.media import seconds
from hftransfer.tasks import _audio

if TYPE_CHECKING:
    from transformers import FeatureExtractionMixin, PretrainedConfig


def script_values(
    recordings: Iterable[Any], extractor: FeatureExtractionMixin, config: PretrainedConfig, crop_seconds: float
) -> dict[str, Any]:
    """The name of the main input, and whether it is a waveform, to be padded.

    Raises:
        RecipeError: batches are made as the script does not make them: cropped, or spectrograms of any length.
    """
    shortest, longest = (extract(seconds(cell) for cell in recordings) for extract in (min, max))
    sample = _audio.features(extractor, _audio.noise(extractor, 1))
    if sample.ndim > 1 and _audio.has_mask(extractor):
        raise RecipeError("eject: its scripts do not pad spectrograms, which this checkpoint reads at any length")
    if sample.ndim == 1 and longest > crop_seconds:
        raise RecipeError(
            f"eject: its scripts train on whole recordings, and of some a part of task.crop_seconds, {crop_seconds:g}, "
            "is taken"
        )
    if sample.ndim == 1 and shortest * extractor.sampling_rate < _audio.least_length(config):
        raise RecipeError("eject: its scripts do not pad recordings beyond the longest of a batch, as these need it")
    padded = sample.ndim == 1
    collated = {"collator": "collate" if padded else "default_data_collator", "masked": False, "padded": padded}
    # Some models see padding, so that what is padded is scored one by one.
    scored = {"batch_size": 1} if padded else {}
    return (
        collated
        | scored
        | {
            "input_name": extractor.model_input_names[0],
            "processor_type": "FeatureExtractionMixin",
        }
    )
