"""Parts of Transformers that have no public name, for the tasks; those of models and of the training have files there.

Each function says which versions it was read in, and why there is no public way.
"""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import BaseImageProcessor, FeatureExtractionMixin, PretrainedConfig, PreTrainedModel


def save_processor(processor: Any, folder: Path) -> None:
    """Write a processor so that Transformers 4.57 reads its tokenizer too.

    Transformers 5 writes the class of a tokenizer that has none of its own as `TokenizersBackend`, and further special
    tokens as a list. Both versions read the older names.
    """
    processor.save_pretrained(folder)
    file = folder / "tokenizer_config.json"
    if not file.is_file():
        return
    config = json.loads(file.read_text(encoding="utf-8"))
    if config.get("tokenizer_class") == "TokenizersBackend":
        config["tokenizer_class"] = "PreTrainedTokenizerFast"
    if isinstance(config.get("extra_special_tokens"), list):
        config["additional_special_tokens"] = config.pop("extra_special_tokens")
    file.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def model_classes(auto_model: str, config: "PretrainedConfig") -> list[type["PreTrainedModel"]]:
    """The model classes that an Auto class such as `AutoModelForCTC` has for a config, the default first.

    Empty where there is none, as for models whose code lies in their repository.

    Transformers 4.57 and 5: an Auto class can build a model of a config and cannot say of which class it would be. The
    public tables (`MODEL_FOR_CTC_MAPPING`) are named by no rule from which the Auto class's name would follow.
    """
    import transformers

    found = getattr(transformers, auto_model)._model_mapping.get(type(config), ())
    return list(found) if isinstance(found, tuple | list) else [found]


def count_frames(config: "PretrainedConfig", length: int) -> int:
    """Output frames of a CTC model of this config for an input of this many samples, or frames of a spectrogram.

    Transformers 4.57 and 5: the arithmetic of the convolutions is a private method of each model class. It reads
    nothing but `self.config`, so a stand-in serves, and no weights are needed.
    """
    model_class: Any = model_classes("AutoModelForCTC", config)[0]
    return int(model_class._get_feat_extract_output_lengths(SimpleNamespace(config=config), length))


def image_processor_class(config: "PretrainedConfig") -> type["BaseImageProcessor"] | None:
    """The image processor of a model type that needs no torchvision; None where it has none.

    The table holds a pair (with PIL, with torchvision) in Transformers 4.57, and a dictionary by those names in 5.
    """
    from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING

    found = IMAGE_PROCESSOR_MAPPING.get(type(config), (None,))
    processor: type[BaseImageProcessor] | None = found["pil"] if isinstance(found, dict) else found[0]
    return processor


def feature_extractor_class(config: "PretrainedConfig") -> type["FeatureExtractionMixin"] | None:
    """The feature extractor of a model type; None where it has none. Only the table says so (Transformers 4.57, 5)."""
    from transformers.models.auto.feature_extraction_auto import FEATURE_EXTRACTOR_MAPPING

    extractor: type[FeatureExtractionMixin] | None = FEATURE_EXTRACTOR_MAPPING.get(type(config), None)
    return extractor
