"""Config and processor from a checkpoint, and a model of them without weights."""

import copy
import inspect
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hftransfer.core import plugins
from hftransfer.core.errors import HubError, ModelError
from hftransfer.core.plugins import nearest
from hftransfer.tasks import Task

if TYPE_CHECKING:
    from transformers import PretrainedConfig

# The fields of a config by which a trained head is known to be for the same labels.
_OF_THE_HEAD = ("num_labels", "id2label", "label2id", "problem_type", "vocab_size")


@dataclass(frozen=True)
class Checkpoint:
    """A place that `from_pretrained` reads, known to exist; nothing of it is loaded yet."""

    path: str
    revision: str | None = None
    trust_remote_code: bool = False

    @property
    def where(self) -> dict[str, Any]:
        """Arguments of every `from_pretrained`."""
        return {"revision": self.revision, "trust_remote_code": self.trust_remote_code}


@dataclass(frozen=True)
class ResolvedCheckpoint:
    """Where the model of a recipe starts: the config with the task's labels, and the weights, if there are any."""

    config: Any
    weights: Checkpoint | None
    processor: Any
    keeps_head: bool
    """The checkpoint was trained for the very same labels, or for a task that has none."""


def find_checkpoint(place: str, revision: str | None = None, trust_remote_code: bool = False) -> Checkpoint:
    """A Hub id, a local directory, the directory of an earlier run or `sample:NAME`, found without loading it.

    Raises:
        ModelError: nothing is there.
        HubError: the Hub refuses the id, or cannot be reached and the cache does not hold it.
    """
    if place.startswith("sample:"):
        return Checkpoint(str(_sample(place.removeprefix("sample:"))))
    path = Path(place).expanduser()
    if path.is_dir():
        folder = path / "model" if (path / "result.json").is_file() else path
        if (folder / "config.json").is_file() or (folder / "preprocessor_config.json").is_file():
            return Checkpoint(str(folder), trust_remote_code=trust_remote_code)
        raise ModelError(f"'{place}' holds neither a checkpoint (config.json) nor a finished run (result.json)")
    beside = path.parent != Path() and path.parent.is_dir()
    if beside or place.startswith((".", "/", "~")) or place.count("/") > 1:
        here = [str(p) for p in path.parent.iterdir() if p.is_dir()] if path.parent.is_dir() else []
        raise ModelError(f"there is no checkpoint directory '{place}'; {nearest(place, here)}")
    from hftransfer.hub import client

    try:
        return Checkpoint(place, client.resolve(place, revision), trust_remote_code)
    except HubError as error:
        raise HubError(f"there is no local directory '{place}', and {error}") from None


def _sample(name: str) -> Path:
    if name not in plugins.names("samples"):
        raise ModelError(f"'{name}' is no sample; {nearest(name, plugins.names('samples'))}")
    sample = plugins.load("samples", name)()
    sample.check_installed()
    return Path(sample.checkpoint())


def resolve_checkpoint(
    task: Task,
    rows: Any,
    weights: Checkpoint | None,
    config: dict[str, Any] | None = None,
    processor: str | None = None,
) -> ResolvedCheckpoint:
    """Config and processor for a task, the weights not yet loaded.

    Args:
        task: The task, fitted to the training rows.
        rows: The training rows.
        weights: The checkpoint to start from; None for random weights.
        config: Fields of a new config, with its `model_type`; left out, the config is the checkpoint's.
        processor: Where the tokenizer, image processor or feature extractor comes from, as `find_checkpoint` takes it;
            left out, it comes with the checkpoint, or the task makes one for a new config.

    Raises:
        ModelError: the checkpoint or config cannot be read, or does not serve the task.
    """
    if weights is not None:
        _refuse_pickles(weights)
    source = find_checkpoint(processor) if processor else None
    if weights is None or config is not None:
        return _from_config(task, rows, weights, config or {}, source)
    return _from_checkpoint(task, rows, weights, source or weights)


def _from_config(
    task: Task, rows: Any, weights: Checkpoint | None, fields: dict[str, Any], source: Checkpoint | None
) -> ResolvedCheckpoint:
    """A new config, whose head is always new; weights of the checkpoint where names and shapes agree."""
    config = _of_labels(task, _new_config(fields, task.config()))
    if source is None:
        processor = _used_to(task.new_processor(config, rows), weights)
    else:
        processor = open_processor(task, source, config, rows)
    config.update(task.know(processor=processor, architecture=config).config())
    return ResolvedCheckpoint(config, weights, processor, keeps_head=False)


def _from_checkpoint(task: Task, rows: Any, weights: Checkpoint, source: Checkpoint) -> ResolvedCheckpoint:
    """The checkpoint's config with the task's labels."""
    import transformers

    before = _of_labels(task, read_pretrained(transformers.AutoConfig, weights))
    processor = open_processor(task, source, before, rows)
    fields = task.know(processor=processor, architecture=before).config()
    after = _of_labels(task, read_pretrained(transformers.AutoConfig, weights, **fields))
    return ResolvedCheckpoint(after, weights, processor, keeps_head=_is_same_head(before, fields))


def _is_same_head(before: "PretrainedConfig", fields: dict[str, Any]) -> bool:
    """Whether the checkpoint's head was trained for the very same labels, or for a task that has none."""
    if "num_labels" in fields and "id2label" not in fields:
        # Regression: numbers have no names by which the head could be known to predict the same ones.
        return False
    expected = {name: value for name, value in fields.items() if name in _OF_THE_HEAD}
    if getattr(before, "problem_type", None) is None:
        # Most checkpoints leave it out: the labels decide.
        expected.pop("problem_type", None)
    return all(getattr(before, name, None) == value for name, value in expected.items())


def _refuse_pickles(weights: Checkpoint) -> None:
    from hftransfer.hub import client

    folder = Path(weights.path)
    here = [path.name for path in folder.iterdir()] if folder.is_dir() else client.files(weights.path, weights.revision)
    if why := client.unpickled(here, weights.path):
        raise ModelError(why)


def _used_to(processor: Any, weights: Checkpoint | None) -> Any:
    """The new processor, with the scale of pixels that the weights were trained on."""
    import transformers

    if weights is not None and hasattr(processor, "image_mean"):
        theirs = read_pretrained(transformers.AutoImageProcessor, weights)
        processor.image_mean, processor.image_std = theirs.image_mean, theirs.image_std
    return processor


def open_processor(task: Task, checkpoint: Checkpoint, config: Any, rows: Any) -> Any:
    """The processor of a checkpoint, as the task opens it for the training rows."""
    import transformers

    def of(name: str, **more: Any) -> Any:
        return read_pretrained(getattr(transformers, name), checkpoint, **more)

    return task.open_processor(of, config, rows)


def read_pretrained(cls: Any, checkpoint: Checkpoint, **fields: Any) -> Any:
    """`from_pretrained`, its failures as one sentence."""
    from safetensors import SafetensorError

    try:
        with warnings.catch_warnings():
            # Of a module that Transformers itself imports.
            warnings.filterwarnings("ignore", "The class .*FeatureExtractor is deprecated")
            return cls.from_pretrained(checkpoint.path, **checkpoint.where, **fields)
    except (OSError, ValueError, ImportError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ModelError(f"{cls.__name__} cannot read '{checkpoint.path}': {reason}") from None


def _new_config(fields: dict[str, Any], more: dict[str, Any]) -> Any:
    from huggingface_hub.errors import StrictDataclassError
    from transformers import AutoConfig, GenerationConfig, PretrainedConfig
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    rest = dict(fields)
    kind = rest.pop("model_type")
    if kind not in CONFIG_MAPPING:
        raise ModelError(f"model.config.model_type: '{kind}' is unknown; {_close(kind, CONFIG_MAPPING.keys())}")
    own = set(inspect.signature(CONFIG_MAPPING[kind].__init__).parameters) - {"self", "kwargs"}
    shared = {*inspect.signature(PretrainedConfig.__init__).parameters, *GenerationConfig().to_dict()}
    allowed = own | shared - {"self", "kwargs"}
    for key in rest:
        if key not in allowed:
            raise ModelError(f"model.config: '{kind}' has no field '{key}'; {nearest(key, own)}")
    try:
        return AutoConfig.for_model(kind, **rest, **more)
    except (TypeError, ValueError, ArithmeticError, StrictDataclassError) as error:
        raise ModelError(f"model.config: {kind} refuses it: {' '.join(str(error).split())[:300]}") from None


def _close(word: str, allowed: Any) -> str:
    """The nearest of very many names, without the list of all."""
    return nearest(word, allowed).partition("Allowed:")[0].strip() or "see the model types of transformers"


def _of_labels(task: Task, config: Any) -> Any:
    """The config of a checkpoint that serves the task, for a model that learns from labels.

    Of several classes of an architecture, DeiT and LeViT checkpoints name that for a teacher, which takes none.
    """
    import transformers

    name = task.model_class(config)
    auto = getattr(transformers, name)
    if type(config) not in auto._model_mapping and name not in getattr(config, "auto_map", {}):
        raise ModelError(f"a {config.model_type} checkpoint cannot do '{task.name}': no such model in {name}")
    kinds = auto._model_mapping.get(type(config), None)
    if isinstance(kinds, tuple):
        named = [it.removesuffix("WithTeacher") for it in config.architectures or [kinds[0].__name__]]
        config.architectures = named
    return config


def empty_model(task: Task, origin: ResolvedCheckpoint) -> Any:
    """The model without memory for its weights (torch's meta device), to count its parameters."""
    import torch
    import transformers

    try:
        with torch.device("meta"):
            return getattr(transformers, task.model_class(origin.config)).from_config(copy.deepcopy(origin.config))
    except (TypeError, ValueError, ArithmeticError, RuntimeError, ImportError) as error:
        kind, reason = origin.config.model_type, " ".join(str(error).split())[:300]
        raise ModelError(f"no {kind} can be made of its config: {reason}") from None
