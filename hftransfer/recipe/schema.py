"""The recipe: which keys a YAML file may have, their defaults, and the rules between them.

A class is a section; the string under a field is its documentation, in docs/recipe.md and in the JSON schema.
"""

import re
from typing import Literal, Self

from pydantic import Field, StrictBool, field_validator, model_validator

from hftransfer.core import plugins
from hftransfer.core.errors import shortened
from hftransfer.core.plugins import Section
from hftransfer.core.variants import UNTRAINED_BASELINES
from hftransfer.recipe import extends
from hftransfer.recipe.plugin_fields import SourceField, StrategyField, TaskField, with_plugins
from hftransfer.recipe.splits import Splits
from hftransfer.recipe.training_arguments import Fields, check_training

_MAX_LAYERS = 1000
_LICENSE = re.compile(r"[a-z0-9][a-z0-9.+-]*")
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]+)*|multilingual|code")


class Model(Section):
    """The pretrained checkpoint, or the config of a new model."""

    id: str | None = None
    """A Hub id, a local directory, the directory of an earlier run, or `sample:NAME`."""
    config: Fields | None = None
    """Fields of a Transformers config, with its `model_type`. Alone: a new model with random weights (strategy
    `scratch`). With `id`: a model of this config, initialized with the checkpoint's weights wherever names and shapes
    are equal (a ViT as the backbone of a YOLOS). With `id` and without `model_type`: fields that replace those of the
    checkpoint's config (`attention_probs_dropout_prob: 0.0`)."""
    processor: str | None = None
    """Where the tokenizer, image processor or feature extractor comes from, if not from the checkpoint; same forms as
    `id`."""
    revision: str | None = None
    """Branch, tag or commit of a Hub id."""
    trust_remote_code: bool = False
    """Run Python code of the checkpoint's repository. Only for repositories whose code you have read."""

    @field_validator("config")
    @classmethod
    def _has_few_layers(cls, value: Fields | None) -> Fields | None:
        # Each layer is an object, also where its weights take no memory.
        for key, number in (value or {}).items():
            layers = number if isinstance(number, list) else [number]
            if re.search("layer|depth", key) and any(isinstance(one, int) and one > _MAX_LAYERS for one in layers):
                raise ValueError(f"{key}: at most {_MAX_LAYERS:,}, got {shortened(number)}")
        return value

    @model_validator(mode="after")
    def _has_id_or_config(self) -> Self:
        if self.id is None and self.config is None:
            raise ValueError("give 'id' (a checkpoint), 'config' (a new model with random weights) or both")
        if self.id is None and self.config is not None and not isinstance(self.config.get("model_type"), str):
            raise ValueError("'config' needs 'model_type', for example vit or bert")
        return self


class Items(Section):
    """A second table, whose rows are referred to by their `id`."""

    source: SourceField
    """Where the table comes from; its split `train` is read."""
    columns: dict[str, str | list[str]] = {}
    """Role -> column of the table; the role `id` is what the task's rows refer to."""


class Data(Section):
    """The rows of the target task."""

    source: SourceField
    """Where the rows come from; `hftransfer list` shows the sources."""
    columns: dict[str, str | list[str]] = {}
    """Role -> column of the source, or a nested field of one (`translation.fr`). A role that is left out is the column
    of the same name. Several columns, `[title, body]`, are joined to one text, or are labels where they hold 0 and 1.
    Every task has the role `group`: scores are also reported for each group."""
    names: list[str] = []
    """Names of the class numbers, from 0 on, where the source has none."""
    items: Items | None = None
    """A second table, for tasks that have one (the items of a catalogue): `{source: ..., columns: {id: ..., ...}}`."""
    splits: Splits = Splits()
    """Training, validation and test split."""
    max_rows: int | None = Field(default=None, ge=1, le=10**10)
    """Use a random sample of at most this many rows of each split of the source: for a first run on large data."""
    streaming: bool = False
    """Train on rows of Parquet files as they are read, shuffled in a buffer of 10,000, for `training.max_steps`: see
    docs/how-to/large-data.md."""
    check_rows: int | None = Field(default=None, ge=0, le=10**10)
    """`check` reads a random sample of at most this many rows of each split of the source, and where it finds a mistake
    all of them; of CSV and JSON files of more than 100 MB, only the first 32 MB. `run` reads all. Left out: 10,000, or
    2,000 where rows have images or recordings. 0: every row."""
    shots: int | None = Field(default=None, ge=1, le=10**9)
    """Use a random sample of this many training rows of each class (few-shot)."""
    unlabelled: str | None = None
    """Rows without labels that the strategy distill trains on too: `rest`, the training rows that `shots` leaves out,
    or a split of the source."""
    augment: Literal["none", "light", "strong"] | list[str] = "none"
    """Data augmentation, sampled again in each epoch: a preset, or a list of operations, `mixup` and `cutmix` among
    them."""
    sampling: Literal["natural", "balanced"] = "natural"
    """`balanced` oversamples the rarer classes until all classes have equally many training rows."""
    on_error: Literal["raise", "skip"] = "raise"
    """On an empty cell or an unreadable file: stop, or skip the row and count it. `skip` decodes each image once more,
    before the splits are made."""
    drop: str | None = None
    """A CSV of training rows to leave out, such as the `audit.csv` of `hftransfer audit`: columns `split` and `row`, or
    `content`, and `reason`; lines whose column `drop` is `no` have no effect. Validation and test rows stay."""
    num_proc: int | None = Field(default=None, ge=1, le=256)
    """Processes that encode the rows, as in `datasets`. Left out: as many as there are cores for images and recordings,
    where there are some hundreds a core, else one."""


class Evaluation(Section):
    """How the model is scored, and what it is compared with."""

    metrics: list[str] = []
    """Names in `hftransfer/metrics/` or ids of metrics on the Hub; the first is the headline. Default: the task's."""
    baselines: list[str] | None = None
    """Scored on the same rows as the tuned model: `majority`; `probe` and `knn`, a linear model and the nearest
    neighbours on the checkpoint's frozen features; those of the task; names of strategies. Left out: `majority` and
    those of the task, `probe` where rows have classes or a number and no `linear_probe` reads a checkpoint."""
    corruptions: list[str] = []
    """Score the test rows also with corrupted inputs: noise, blur, contrast, jpeg (images), typos, casing (texts),
    noise, speed, reverb (recordings)."""
    source_task: Data | None = None
    """Rows of the task that the checkpoint was trained for: its test split shows how much of it the model forgets
    (catastrophic forgetting)."""
    feature_similarity: bool = False
    """Compare the features of each block before and after the training (CKA), on a few test rows."""
    out_of_domain: StrictBool | list[str] = False
    """`true`: keep features of the training rows, so that `predict` reports how far a row is from them. A list of
    classes: also leave these out of all splits, and report how well their test rows are recognized by this distance."""
    confidence: float = Field(default=0.95, gt=0, lt=1)
    """Confidence level of the bootstrap intervals."""
    resamples: int = Field(default=1000, ge=10, le=100000)
    """Number of bootstrap resamples."""
    batch_size: int = Field(default=32, ge=1, le=100000)
    """Rows in a batch of inference."""

    @property
    def left_out(self) -> list[str]:
        """Classes whose rows serve as out-of-domain rows alone."""
        return [] if isinstance(self.out_of_domain, bool) else self.out_of_domain


class Export(Section):
    """Export of the tuned model, and how much of its score an exported variant may lose."""

    format: str = "onnx"
    """The exporter."""
    through: Literal["auto", "transformers", "optimum"] = "auto"
    """What makes the graph: the exporters of `transformers` (from version 5 on), or `optimum`, in an environment of its
    own (`hftransfer setup-optimum`). `auto`: Optimum for models that generate, and under Transformers 4."""
    quantization: Literal["auto", "none", "dynamic-int8", "static-int8", "weight-int4"] = "dynamic-int8"
    """Quantization of the exported model. `auto` tries the schemes that suit the model, and exports the best by the
    validation rows."""
    max_drop: float = Field(default=0.01, ge=0, le=1e6)
    """How much of the metric an exported variant may lose on the test rows before it is rejected, in the metric's own
    unit (BLEU and chrF go up to 100, perplexity has no upper bound)."""
    metric: str = "headline"
    """The metric of `max_drop`: `headline`, or one of the run's metrics."""
    calibration: int = Field(default=128, ge=1, le=10**6)
    """Training rows that calibrate static-int8: the range of every tensor is measured on them."""
    optimize: Literal["O1", "O2", "O3", "O4"] | None = None
    """Also export a variant with an optimized graph, at this level; O4 is for GPUs. `auto` tries O2."""
    operators: Literal["supported", "all"] = "supported"
    """Which operators are quantized: matrix products, convolutions and embeddings, or all that the runtime can."""
    target: Literal["avx2", "avx512", "avx512_vnni", "arm64"] | None = None
    """Instruction set of the processor that int8 is meant for; left out, this machine's."""

    @field_validator("format")
    @classmethod
    def _is_an_exporter(cls, value: str) -> str:
        return plugins.one_of(value, plugins.names("exporters"), "export format")


class Hub(Section):
    """The repository that the run is pushed to."""

    repo: str
    """user/name; created if it does not exist. That the token may write there is checked before the training."""
    private: bool = False
    """Create the repository as a private one."""
    adapter: bool = False
    """Push the PEFT adapter alone instead of the merged model; its base checkpoint has to be on the Hub."""
    license: str | None = None
    """Licence of the pushed model, as the Hub writes it (apache-2.0); left out, the checkpoint's, if the Hub has it."""
    language: list[str] = []
    """ISO 639 codes of the languages that the model reads, hears or writes."""

    @field_validator("license")
    @classmethod
    def _is_identifier(cls, name: str | None) -> str | None:
        if name is not None and not _LICENSE.fullmatch(name):
            raise ValueError(f"as the Hub writes it, such as apache-2.0, cc-by-4.0 or other, got '{name}'")
        return name

    @field_validator("language")
    @classmethod
    def _are_codes(cls, codes: list[str]) -> list[str]:
        for code in codes:
            if not _LANGUAGE.fullmatch(code):
                raise ValueError(f"ISO 639 codes, such as en or de, or 'multilingual' or 'code', got '{code}'")
        return codes


class Recipe(Section):
    """A transfer from a pretrained checkpoint to a target task."""

    task: TaskField
    """The target task, by the name that it has on the Hub."""
    model: Model
    """The pretrained checkpoint."""
    data: Data
    """The rows of the target task."""
    strategy: StrategyField = Field(default="full", validate_default=True)
    """How the checkpoint is adapted: full fine-tuning, LoRA, a linear probe, ..."""
    compress: list[StrategyField] = []
    """Strategies that make the tuned model smaller, applied one after another (distill, prune). `quantize` may stand
    last, and stands for `export`."""
    training: Fields = {}
    """Hyper-parameters: fields of `transformers.TrainingArguments`. Those left out have the strategy's defaults."""
    evaluation: Evaluation = Evaluation()
    """Metrics and baselines."""
    calibrate: bool = True
    """Divide the logits of a classifier by a temperature fitted to validation rows, in its last layer, so that its
    probabilities are right as often as they say. Predicted classes stay the same."""
    export: Export | None = None
    """Export to another runtime; left out, there is only the PyTorch model."""
    hub: Hub | None = None
    """Push to the Hub at the end of the run; left out, `hftransfer push` can do it later."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Random seed of splits, shots, new weights, batch order and bootstrap. In a text of the recipe `{seed}` stands for
    it: `teacher: runs/teacher-{seed}` is one that has seen the same split. In a recipe that this one names, it stands
    for that one's own."""

    @field_validator("training")
    @classmethod
    def _are_training_arguments(cls, value: Fields) -> Fields:
        return check_training(value)

    @model_validator(mode="before")
    @classmethod
    def _quantize_is_last(cls, raw: object) -> object:
        steps = raw.get("compress") if isinstance(raw, dict) else None
        if not isinstance(raw, dict) or not isinstance(steps, list) or "quantize" not in steps:
            return raw
        if steps.index("quantize") < len(steps) - 1:
            raise ValueError("'quantize' stands last in 'compress'")
        if raw.get("export") is None:
            raise ValueError("'quantize' in 'compress' needs the section 'export', which names the format")
        return raw | {"compress": steps[:-1]}

    @model_validator(mode="after")
    def _baselines_are_known(self) -> Self:
        allowed = [*UNTRAINED_BASELINES, *self.task.own_baselines, *plugins.names("strategies")]
        for name in self.evaluation.baselines or []:
            plugins.one_of(name, allowed, f"baseline of '{self.task.name}' (evaluation.baselines)")
        return self

    @model_validator(mode="after")
    def _teacher_is_named(self) -> Self:
        if getattr(self.strategy, "teacher", "") is None:
            raise ValueError(f"strategy '{self.strategy.name}' needs 'teacher': a run, a directory or a Hub id")
        return self

    @model_validator(mode="after")
    def _unlabelled_rows_have_a_use(self) -> Self:
        uses_unlabelled = any(strategy.uses_unlabelled for strategy in [self.strategy, *self.compress])
        if self.data.unlabelled is not None and not uses_unlabelled:
            raise ValueError(f"'data.unlabelled' is for strategy distill; '{self.strategy.name}' trains on labels")
        if self.data.unlabelled == "rest" and self.data.shots is None:
            raise ValueError("'data.unlabelled: rest' needs 'data.shots': it is the training rows that shots leave out")
        return self

    @model_validator(mode="after")
    def _random_weights_train_from_scratch(self) -> Self:
        if self.model.id is None and self.strategy.name not in ("scratch", "distill"):
            raise ValueError(
                f"'model.config' alone makes random weights, from which strategy '{self.strategy.name}' "
                "has nothing to transfer: use strategy 'scratch', or give 'model.id'"
            )
        return self

    def written(self) -> Fields:
        """The keys that the recipe says, without those that have their default because they are left out."""
        return self.model_dump(exclude_unset=True)

    @classmethod
    def json_schema(cls) -> Fields:
        """JSON schema of a recipe for editors, with the fields of every plug-in."""
        schema: Fields = with_plugins(cls.model_json_schema())
        schema["properties"]["compress"]["items"]["anyOf"].append({"const": "quantize"})
        schema["properties"][extends.KEY] = {"type": "string", "description": extends.DESCRIPTION}
        return schema
