"""The recipe: what a YAML file may say, and how it is read. Nothing below `pipeline.py` sees one."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema, field_validator, model_validator

from hftransfer.core import plugins
from hftransfer.core.errors import RecipeError
from hftransfer.core.plugins import Plugin, Section
from hftransfer.recipe.training_arguments import check_training


def _build(kind: str, value: Any) -> Any:
    """A plug-in from `name` or from `{name: ..., field: ...}`."""
    if isinstance(value, Plugin):
        return value
    fields = {"name": value} if isinstance(value, str) else dict(value) if isinstance(value, dict) else {}
    name = fields.pop("name", None)
    if not isinstance(name, str):
        raise ValueError(f"expected a name, or a mapping with 'name'; {plugins.nearest(name, plugins.names(kind))}")
    try:
        return plugins.load(kind, name).model_validate(fields)
    except RecipeError as error:
        raise ValueError(str(error)) from None


def _dump(plugin: Plugin) -> dict[str, Any]:
    return {"name": plugin.name, **plugin.model_dump()}


def _variants(kind: str) -> dict[str, Any]:
    """The JSON schema of a plug-in's section: one variant for each file of the kind."""
    variants = []
    for name in plugins.names(kind):
        schema = plugins.load(kind, name).model_json_schema()
        schema["properties"] = {"name": {"const": name}, **schema.get("properties", {})}
        schema["required"] = ["name", *schema.get("required", [])]
        variants.append(schema)
    return {"anyOf": [{"enum": plugins.names(kind)}, *variants]}


def _plugin(kind: str) -> Any:
    return Annotated[
        Any,
        BeforeValidator(lambda value: _build(kind, value)),
        PlainSerializer(_dump),
        WithJsonSchema({"x-plugin": kind}),
    ]


class Model(Section):
    """The checkpoint to start from, or the config of a new model."""

    id: str | None = None
    """A Hub id, a local directory, the directory of an earlier run, or `sample:NAME`."""
    config: dict[str, Any] | None = None
    """Fields of a Transformers config, with its `model_type`: a new model with random weights (strategy `scratch`), or,
    beside `id`, with the checkpoint's wherever names and shapes are the same (a ViT in a YOLOS)."""
    processor: str | None = None
    """Where the tokenizer or image processor comes from when it is not beside the model; same forms as `id`."""
    revision: str | None = None
    """Branch, tag or commit of a Hub id."""
    trust_remote_code: bool = False
    """Run Python code out of the checkpoint's repository. Only for repositories that you have read."""

    @model_validator(mode="after")
    def _some_origin(self) -> "Model":
        if self.id is None and self.config is None:
            raise ValueError("give 'id' (a checkpoint), 'config' (a new model with random weights) or both")
        if self.config is not None and not isinstance(self.config.get("model_type"), str):
            raise ValueError("'config' needs 'model_type', for example vit or bert")
        return self


class Splits(Section):
    """Where the three splits come from. Left out: the source's own split, else a part of `train`."""

    train: str = "train"
    """The name of the source's split."""
    validation: str | int | float | None = None
    """A split of the source, or a part of the training rows: a fraction or a number of rows (default 0.1)."""
    test: str | int | float | None = None
    """As `validation` (default 0.2). Scored once, at the end."""
    by_group: bool = False
    """Rows of one group (the role `group`: a patient, a speaker) are drawn into one split, so that others are scored
    than are trained on."""

    @field_validator("validation", "test")
    @classmethod
    def _fraction_or_count(cls, value: str | int | float | None) -> str | int | float | None:
        if isinstance(value, float) and not 0 < value < 1:
            raise ValueError(f"a fraction lies between 0 and 1, got {value}; for a number of rows write a whole number")
        if isinstance(value, int) and value < 1:
            raise ValueError(f"a number of rows is at least 1, got {value}")
        return value

    @model_validator(mode="after")
    def _disjoint(self) -> "Splits":
        named = [s for s in (self.train, self.validation, self.test) if isinstance(s, str)]
        if len(set(named)) != len(named):
            raise ValueError(f"the three splits must be different rows, got {', '.join(named)}")
        return self


class Items(Section):
    """A second table, whose rows the task's rows refer to by their id."""

    source: _plugin("sources")  # type: ignore[valid-type]
    """Where the table comes from; its split `train` is read."""
    columns: dict[str, str | list[str]] = {}
    """Role -> column of the table; `id` is what the rows refer to."""


class Data(Section):
    """The rows of the target task."""

    source: _plugin("sources")  # type: ignore[valid-type]
    """Where the rows come from; `hftransfer list` shows the sources."""
    columns: dict[str, str | list[str]] = {}
    """Role -> column of the source, or a named part of one (`translation.fr`). A role that is left out is the column
    of the same name. Several columns, `[title, body]`, are one text, or labels by 0 and 1. The role `group` of any task
    says where a row comes from: scores are told for each group too."""
    names: list[str] = []
    """What the numbers of the classes or tags stand for, from 0 on, where the source does not tell."""
    items: Items | None = None
    """A second table, for tasks that have one (items of a catalogue): `{source: ..., columns: {id: ..., ...}}`."""
    splits: Splits = Splits()
    """Train, validation and test."""
    max_rows: int | None = Field(default=None, ge=1)
    """Take no more rows of each split of the source, drawn by the seed: for a first look at large data."""
    shots: int | None = Field(default=None, ge=1)
    """Keep this many training rows of each class, drawn by the seed."""
    unlabelled: str | None = None
    """Rows to learn from without labels (strategy distill): `rest`, the training rows that `shots` leaves, or a split
    of the source."""
    augment: Literal["none", "light", "strong"] | list[str] = "none"
    """How training rows are changed, anew in each epoch: a preset, or the names of operations, mixup and cutmix too."""
    sampling: Literal["natural", "balanced"] = "natural"
    """`balanced`: training rows of the rarer classes are repeated until all classes have as many."""
    on_error: Literal["raise", "skip"] = "raise"
    """What to do with an empty cell or an unreadable file: stop, or leave the row out and count it."""


class Evaluation(Section):
    """How the model is scored, and against what."""

    metrics: list[str] = []
    """Names in `hftransfer/metrics/` or ids of Hub metrics; the first is the headline. Default: the task's own."""
    baselines: list[str] = []
    """`majority` and names of strategies, scored beside the tuned model on the same rows."""
    corruptions: list[str] = []
    """The test rows again under other conditions: noise, blur, contrast, jpeg (images), typos, casing (texts), noise,
    speed, reverb (recordings)."""
    source_task: Data | None = None
    """Rows of the task that the checkpoint was trained for, of which its test split shows how much of it is lost."""
    confidence: float = Field(default=0.95, gt=0, lt=1)
    """Width of the bootstrap intervals."""
    resamples: int = Field(default=1000, ge=10)
    """Bootstrap resamples behind each interval."""
    batch_size: int = Field(default=32, ge=1)
    """Rows in a batch while scoring."""

    @field_validator("baselines")
    @classmethod
    def _known(cls, value: list[str]) -> list[str]:
        allowed = ["majority", *plugins.names("strategies")]
        for name in value:
            if name not in allowed:
                raise ValueError(f"'{name}' is no baseline; {plugins.nearest(name, allowed)}")
        return value


class Export(Section):
    """What is shipped beside the PyTorch model, and the promise that it keeps."""

    format: str = "onnx"
    """The exporter."""
    quantization: Literal["auto", "none", "dynamic-int8", "static-int8", "weight-int4"] = "dynamic-int8"
    """The smaller variant: `auto` tries what suits the model on the validation rows and ships the best."""
    max_drop: float = Field(default=0.01, ge=0)
    """How much of the metric an exported variant may lose on the test rows, in the metric's own unit (BLEU and chrF
    count to 100, a perplexity has no bound); more, and it is rejected."""
    metric: str = "headline"
    """The metric of the promise: `headline` or one of those that the run is scored by."""
    calibration: int = Field(default=128, ge=1)
    """Training rows by which static-int8 finds the range of every tensor."""
    optimize: Literal["O1", "O2", "O3", "O4"] | None = None
    """Ship a variant with an optimized graph too, at this level of Optimum; O4 is for GPUs. `auto` tries O2."""
    operators: Literal["supported", "all"] = "supported"
    """What becomes integers: matrix products, convolutions and embeddings, or everything that the runtime knows how."""
    target: Literal["avx2", "avx512", "avx512_vnni", "arm64"] | None = None
    """The processor that the integers are for; left out, this machine's."""

    @field_validator("format")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in plugins.names("exporters"):
            raise ValueError(f"'{value}' is no export format; {plugins.nearest(value, plugins.names('exporters'))}")
        return value


class Hub(Section):
    """Where a finished run is pushed."""

    repo: str
    """user/name; made if it is not there. That the token may write there is made sure before the training."""
    private: bool = False
    """A new repository is seen by its owner alone."""
    adapter: bool = False
    """Push the PEFT adapter alone, which needs its checkpoint on the Hub, in place of the merged model."""
    license: str | None = None
    """Of the pushed model, as the Hub writes it (apache-2.0); left out, the checkpoint's own, if the Hub tells it."""
    language: list[str] = []
    """ISO 639-1 codes of what the model reads, hears or writes."""


class Recipe(Section):
    """One transfer, from checkpoint and rows to the shipped model."""

    task: _plugin("tasks")  # type: ignore[valid-type]
    """What is to be learnt, named as the Hub names it."""
    model: Model
    """The checkpoint."""
    data: Data
    """The rows."""
    strategy: _plugin("strategies") = Field(default="full", validate_default=True)  # type: ignore[valid-type]
    """How the checkpoint is adapted."""
    compress: list[_plugin("strategies")] = []  # type: ignore[valid-type]
    """Strategies that make the tuned model smaller, one behind the other (distill, prune); `quantize`, which may stand
    last, is what `export` does."""
    training: dict[str, Any] = {}
    """Fields of `transformers.TrainingArguments`; what is left out comes from the strategy."""
    evaluation: Evaluation = Evaluation()
    """Metrics and baselines."""
    export: Export | None = None
    """Left out: only the PyTorch model is shipped."""
    hub: Hub | None = None
    """Left out: nothing is pushed; `hftransfer push` does it later."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Of splits, shots, new weights, batch order and bootstrap."""

    @field_validator("training")
    @classmethod
    def _training_arguments(cls, value: dict[str, Any]) -> dict[str, Any]:
        return check_training(value)

    @model_validator(mode="before")
    @classmethod
    def _quantized_last(cls, raw: Any) -> Any:
        steps = raw.get("compress") if isinstance(raw, dict) else None
        if not isinstance(steps, list) or "quantize" not in steps:
            return raw
        if steps.index("quantize") < len(steps) - 1:
            raise ValueError("'quantize' stands last in 'compress'")
        if raw.get("export") is None:
            raise ValueError("'quantize' in 'compress' is what 'export' does: say there which format")
        return raw | {"compress": steps[:-1]}

    @model_validator(mode="after")
    def _a_teacher_is_named(self) -> "Recipe":
        if getattr(self.strategy, "teacher", "") is None:
            raise ValueError(f"strategy '{self.strategy.name}' needs 'teacher': a run, a directory or a Hub id")
        return self

    @model_validator(mode="after")
    def _unlabelled_rows_are_learnt_from(self) -> "Recipe":
        learns = any(it.uses_unlabelled for it in [self.strategy, *self.compress])
        if self.data.unlabelled is not None and not learns:
            raise ValueError(f"'data.unlabelled' is for strategy distill; '{self.strategy.name}' learns from labels")
        if self.data.unlabelled == "rest" and self.data.shots is None:
            raise ValueError("'data.unlabelled: rest' are the rows that 'data.shots' leaves, and it is not given")
        return self

    @model_validator(mode="after")
    def _random_weights_train_from_scratch(self) -> "Recipe":
        if self.model.id is None and self.strategy.name not in ("scratch", "distill"):
            raise ValueError(
                f"'model.config' alone makes random weights, from which strategy '{self.strategy.name}' "
                "has nothing to transfer: use strategy 'scratch', or give 'model.id'"
            )
        return self

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """JSON schema of a recipe, every plug-in's fields included, for editors."""
        schema = cls.model_json_schema()

        def fill(node: Any) -> Any:
            if isinstance(node, dict):
                if "x-plugin" in node:
                    extra = {k: v for k, v in node.items() if k != "x-plugin"}
                    return extra | _variants(node["x-plugin"])
                return {key: fill(value) for key, value in node.items()}
            return [fill(item) for item in node] if isinstance(node, list) else node

        filled = dict(fill(schema))
        filled["properties"]["compress"]["items"]["anyOf"].append({"const": "quantize"})
        return filled
