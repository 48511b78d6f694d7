"""Config and processor of a checkpoint, and its model without weights."""

from __future__ import annotations

import copy
import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hftransfer.core.checkpoint_files import check_files
from hftransfer.core.compat import model_classes
from hftransfer.core.empty_model import empty_model as meta_model
from hftransfer.core.errors import HubError, ModelError
from hftransfer.core.named_checkpoints import sample_checkpoint
from hftransfer.core.paths import is_folder
from hftransfer.core.plugins import nearest
from hftransfer.core.prefixes import SAMPLE
from hftransfer.models.reading import read_pretrained
from hftransfer.tasks import Task

if TYPE_CHECKING:
    from collections.abc import Iterable

    from datasets import Dataset
    from transformers import PretrainedConfig, PreTrainedModel

    from hftransfer.tasks import Processor

_WEIGHT_SUFFIXES = (".safetensors", ".bin", ".pt", ".ckpt", ".h5")
_START = "decoder_start_token_id"
ConfigFields = dict[str, Any]
"""Fields of a Transformers config, by name."""


@dataclass(frozen=True)
class Checkpoint:
    """Where `from_pretrained` reads a checkpoint. It is known to exist; nothing of it is loaded yet."""

    path: str
    """A directory or a Hub id."""
    revision: str | None = None
    """The commit, for a Hub id."""
    trust_remote_code: bool = False

    @property
    def hub_kwargs(self) -> dict[str, Any]:
        """Arguments of every `from_pretrained`."""
        return {"revision": self.revision, "trust_remote_code": self.trust_remote_code}


@dataclass(frozen=True)
class ResolvedCheckpoint:
    """Where a training starts: a config with the task's labels, a processor, and weights, if there are any."""

    config: PretrainedConfig
    weights: Checkpoint | None
    processor: Processor
    reuses_head: bool
    """Whether the checkpoint's head was trained for the very same labels, or for a task without labels."""


def find_checkpoint(place: str, revision: str | None = None, trust_remote_code: bool = False) -> Checkpoint:
    """Find a checkpoint without loading it: a local directory, that of an earlier run, `sample:NAME` or a Hub id.

    Raises:
        ModelError: nothing is there, or a file is damaged.
        HubError: the Hub refuses the id, or cannot be reached and the cache does not hold it.
    """
    if place.startswith(SAMPLE):
        return Checkpoint(sample_checkpoint(place.removeprefix(SAMPLE)))
    path = Path(place).expanduser()
    if is_folder(path):
        folder = path / "model" if (path / "result.json").is_file() else path
        if (folder / "config.json").is_file() or (folder / "preprocessor_config.json").is_file():
            check_files(folder)
            return Checkpoint(str(folder), trust_remote_code=trust_remote_code)
        raise ModelError(f"'{place}' holds neither a checkpoint (config.json) nor a finished run (result.json)")
    in_a_directory = path.parent != Path() and is_folder(path.parent)
    if in_a_directory or place.startswith((".", "/", "~")) or place.count("/") > 1:
        there = [str(p) for p in path.parent.iterdir() if p.is_dir()] if is_folder(path.parent) else []
        raise ModelError(f"there is no checkpoint directory '{place}'; {nearest(place, there)}")
    from hftransfer.hub import client

    try:
        return Checkpoint(place, client.resolve_revision(place, revision), trust_remote_code)
    except HubError as error:
        raise HubError(f"there is no local directory '{place}', and {error}") from None


def resolve_checkpoint(
    task: Task,
    rows: Dataset,
    weights: Checkpoint | None,
    config: ConfigFields | None = None,
    processor: str | None = None,
) -> ResolvedCheckpoint:
    """Config and processor for a task, the weights not yet loaded.

    Args:
        task: The task, fitted to the training rows.
        rows: The training rows.
        weights: The checkpoint to start from; None for random weights.
        config: Fields of a new config, with its `model_type`; without it, fields that replace those of the checkpoint's
            config; left out, the config is the checkpoint's.
        processor: Where the tokenizer, image processor or feature extractor comes from, as `find_checkpoint` takes it;
            left out, it comes with the checkpoint, or the task makes one for a new config.

    Raises:
        ModelError: the checkpoint or config cannot be read, or does not serve the task.
    """
    if weights is not None:
        _refuse_pickles(weights)
    fields = config or {}
    if weights is None or "model_type" in fields:
        return _with_new_config(task, rows, weights, fields, processor)
    return _with_old_config(task, rows, weights, find_checkpoint(processor) if processor else weights, fields)


def _with_new_config(
    task: Task, rows: Dataset, weights: Checkpoint | None, fields: ConfigFields, place: str | None
) -> ResolvedCheckpoint:
    """A new config; the checkpoint's weights serve where names and shapes are equal, and never for the head."""
    config = _check_architecture(task, _new_config(fields, task.config_fields()))
    if place is None:
        processor = _with_pixel_scale(task.new_processor(config, rows), weights)
    else:
        processor = open_processor(task, find_checkpoint(place), config, rows)
    config.update(task.with_processor(processor, config).config_fields())
    return ResolvedCheckpoint(config, weights, processor, reuses_head=False)


def _with_old_config(
    task: Task, rows: Dataset, weights: Checkpoint, processor_checkpoint: Checkpoint, fields: ConfigFields
) -> ResolvedCheckpoint:
    """The checkpoint's config with some fields replaced, and with the task's labels."""
    import transformers

    before = _check_architecture(task, read_pretrained(transformers.AutoConfig, weights))
    for key in fields:
        if not hasattr(before, key) and not (key == _START and before.is_encoder_decoder):
            raise ModelError(f"model.config: a {before.model_type} has no field '{key}'; {nearest(key, vars(before))}")
    processor = open_processor(task, processor_checkpoint, before, rows)
    fitted = task.with_processor(processor, before)
    replaced = fields | fitted.config_fields()
    after = _check_architecture(task, read_pretrained(transformers.AutoConfig, weights, **replaced))
    # Reading passes over fields that a config of the type does not always have.
    after.update({name: value for name, value in fitted.config_fields().items() if not hasattr(after, name)})
    after.update(_start_of_generation(after, weights, fields))
    if "thresholds" in vars(after).keys() - replaced.keys():
        # Of an earlier run, for other probabilities.
        del after.thresholds
    return ResolvedCheckpoint(after, weights, processor, reuses_head=fitted.head_fits(before))


def _start_of_generation(config: PretrainedConfig, weights: Checkpoint, fields: ConfigFields) -> ConfigFields:
    """The first token of a decoder, where the config lacks it; training reads the config alone.

    It is a field that Transformers 5 does not take for every config, or stands in generation_config.json.
    """
    import transformers

    if not config.is_encoder_decoder or getattr(config, _START, None) is not None:
        return {}
    start = fields.get(_START)
    if start is None:
        try:
            start = read_pretrained(transformers.GenerationConfig, weights).decoder_start_token_id
        except ModelError:
            # Not every checkpoint has the file; TrOCR's decoder has a config of its own.
            start = getattr(getattr(config, "decoder", None), _START, None)
    return {} if start is None else {_START: start}


def _refuse_pickles(weights: Checkpoint) -> None:
    """Refuse weights that are not safetensors, by the names of the checkpoint's files.

    Raises:
        ModelError: they are pickled, or there are none.
    """
    from hftransfer.hub import client

    path, folder = weights.path, Path(weights.path)
    local = [file.name for file in folder.iterdir()] if folder.is_dir() else None
    names = client.list_files(path, weights.revision) if local is None else local
    suffixes = {suffix for name in names for suffix in _WEIGHT_SUFFIXES if name.endswith(suffix)}
    if not suffixes:
        raise ModelError(f"'{path}' holds no weights (model.safetensors)")
    if ".safetensors" not in suffixes:
        raise ModelError(
            f"the weights of '{path}' are pickled ({', '.join(sorted(suffixes))}), which runs code when they are read; "
            "take a revision with model.safetensors (often refs/pr/1), or convert them: "
            "https://huggingface.co/spaces/safetensors/convert"
        )


def _with_pixel_scale(processor: Processor, weights: Checkpoint | None) -> Processor:
    """The new processor; an image processor gets the mean and deviation that the weights were trained with."""
    import transformers

    if weights is not None and hasattr(processor, "image_mean"):
        trained_with = read_pretrained(transformers.AutoImageProcessor, weights)
        processor.image_mean, processor.image_std = trained_with.image_mean, trained_with.image_std
    return processor


def open_processor(task: Task, checkpoint: Checkpoint, config: PretrainedConfig, rows: Dataset) -> Processor:
    """The processor of a checkpoint, as the task opens it for the training rows.

    Raises:
        ModelError: it cannot be read, or does not serve the task.
    """
    import transformers

    def read(auto_class: str, **kwargs: Any) -> Processor:
        return read_pretrained(getattr(transformers, auto_class), checkpoint, **kwargs)

    return task.open_processor(read, config, rows)


def _new_config(fields: ConfigFields, task_fields: ConfigFields) -> PretrainedConfig:
    from huggingface_hub.errors import StrictDataclassError
    from transformers import AutoConfig

    _check_fields(fields)
    # A copy, since composed configs of Transformers 4 take the model types out of their parts.
    model_fields = copy.deepcopy(fields)
    model_type = model_fields.pop("model_type")
    try:
        return AutoConfig.for_model(model_type, **model_fields, **task_fields)
    except (TypeError, ValueError, ArithmeticError, StrictDataclassError) as error:
        raise ModelError(f"model.config: {model_type} refuses it: {' '.join(str(error).split())[:300]}") from None


def _check_fields(fields: ConfigFields, place: str = "model.config", known: Any = None) -> None:
    """Refuse an unknown model type or field of a new config, and of the configs that it is composed of.

    `known` is the class of a part whose type follows from the whole, such as the `text_config` of a CLIP.

    Raises:
        ModelError: names the nearest one.
    """
    from transformers import CONFIG_MAPPING, AutoConfig, GenerationConfig, PretrainedConfig

    model_type = fields.get("model_type", getattr(known, "model_type", None))
    if known is None and model_type not in CONFIG_MAPPING:
        hint = _nearest_model_type(str(model_type), CONFIG_MAPPING.keys())
        raise ModelError(f"{place}.model_type: '{model_type}' is unknown; {hint}")
    config_class = known or CONFIG_MAPPING[model_type]
    parts = config_class.sub_configs
    specific = set(parts) | set(inspect.signature(config_class.__init__).parameters) - {"self", "kwargs"}
    shared = {*inspect.signature(PretrainedConfig.__init__).parameters, *GenerationConfig().to_dict()}
    allowed = specific | shared - {"self", "kwargs"} | {"model_type"}
    for key, value in fields.items():
        if key not in allowed:
            raise ModelError(f"{place}: '{model_type}' has no field '{key}'; {nearest(key, specific)}")
        if key in parts and isinstance(value, dict):
            _check_fields(value, f"{place}.{key}", None if parts[key] is AutoConfig else parts[key])


def _nearest_model_type(word: str, allowed: Iterable[str]) -> str:
    """The nearest of the model types, without the list of all of them."""
    return nearest(word, allowed).partition("Allowed:")[0].strip() or "see the model types of transformers"


def _check_architecture(task: Task, config: PretrainedConfig) -> PretrainedConfig:
    """The config, if the task has a model class for it.

    DeiT and LeViT have two classes: one learns from labels, the other from a teacher, and takes no labels. Checkpoints
    name the latter, and the former is chosen.

    Raises:
        ModelError: there is none.
    """
    auto_model = task.model_class(config)
    candidates = model_classes(auto_model, config)
    if not candidates and auto_model not in getattr(config, "auto_map", {}):
        raise ModelError(f"a {config.model_type} checkpoint cannot do '{task.name}': no such model in {auto_model}")
    if len(candidates) > 1:
        names = config.architectures or [candidates[0].__name__]
        config.architectures = [name.removesuffix("WithTeacher") for name in names]
    return config


def empty_model(task: Task, origin: ResolvedCheckpoint) -> PreTrainedModel:
    """The model without memory for its weights (on torch's meta device), to count its parameters.

    Raises:
        ModelError: the config does not describe a model.
    """
    return meta_model(task.model_loader(origin.config), origin.config)
