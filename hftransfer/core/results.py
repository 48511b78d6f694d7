"""What a run hands on: `result.json`. The card, the report and every table read only this."""

import json
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from hftransfer.core.plugins import Section

SCHEMA = 1


class Score(Section):
    """A metric on some rows, with its bootstrap interval."""

    value: float
    low: float
    high: float
    count: int


class DataFacts(Section):
    """What was learnt about the rows."""

    fingerprint: str
    """SHA-256 over the content and the labels of all splits."""
    rows: dict[str, int]
    """Split -> rows used."""
    duplicates_removed: dict[str, int]
    """Split -> rows removed because another split, nearer to the test split, holds the same content."""
    skipped: dict[str, int]
    """Split -> unreadable rows left out (`data.on_error: skip`)."""
    labels: list[str]
    """Class names in the order of the model's outputs."""
    classes: dict[str, dict[str, int]]
    """Split -> class -> rows."""


class RuntimeFacts(Section):
    """Size and speed of a variant, measured warm on test rows, on the machine that `hardware` names."""

    bytes: int
    """Size of the weights on disk."""
    p50_ms: float
    """Median latency of one row, warm."""
    p95_ms: float
    """95th percentile of the latency of one row."""
    p50_ms_batch8: float
    """Median latency of a batch of 8."""
    p95_ms_batch8: float
    """95th percentile of the latency of a batch of 8."""


class ExportFacts(RuntimeFacts):
    """One exported variant against the PyTorch model on the same rows."""

    max_abs_diff: float
    """Largest difference of an output."""
    agreement: float
    """Share of rows with the same prediction; numbers are the same within a hundredth of their deviation."""
    loader: str
    """Optimum's class that loads it."""
    files: list[str] = []
    """The model files in the variant's folder."""
    drop: Score | None = None
    """How much of the metric of `export.metric` is lost on the test rows, with a paired bootstrap's interval."""
    largest_differences: list[tuple[int, float]] = []
    """The test rows whose outputs differ most, and by how much."""
    rejected: str | None = None
    """Why the variant is not shipped."""


class SearchTrial(Section):
    """One scheme of the search that `export.quantization: auto` makes, on the validation rows."""

    score: float | None = None
    """By the metric that `export.metric` names; of a scheme that could not be made, None."""
    drop: float | None = None
    """How much of it is lost against PyTorch."""
    bytes: int = 0
    p50_ms: float = 0.0
    """Median latency of one row, warm."""
    excluded_nodes: int = 0
    """Nodes of the graph that stay decimal."""
    why: str | None = None
    """Why it is not what ships; None for what does."""


class BenchmarkTiming(Section):
    """One way of running the model, at one batch size and number of threads."""

    variant: str
    threads: int
    batch: int
    milliseconds: list[float]
    """Of each call; empty where it does not run here."""
    first_ms: float
    """Of the first call, which compiles and allocates; the model's loading is not in it."""
    peak_bytes: int
    """Largest resident memory of the process so far."""
    why: str | None = None
    """Why it does not run here."""

    def percentile(self, share: float) -> float:
        """Of the calls, in milliseconds."""
        import numpy

        return float(numpy.percentile(self.milliseconds, share))


class Example(Section):
    """A test row that the tuned model gets wrong."""

    row: int
    reference: str
    prediction: str
    loss: float
    shown: dict[str, Any]
    """As `Task.show` gives it."""


class TaskHead(Section):
    """A further head of a run of several tasks; its own record lies in `heads/NAME`."""

    task: str
    headline: str
    scores: dict[str, Score]
    """Metric -> score on its own test rows."""


class RunResult(Section):
    """All that is known of a finished run."""

    schema_: int = Field(default=SCHEMA, alias="schema")
    name: str
    id: str = ""
    """Of this run alone, by which it knows its repository on the Hub."""
    task: str
    headline: str
    """The metric that decides."""
    recipe: dict[str, Any]
    """The recipe with every default resolved."""
    scores: dict[str, dict[str, dict[str, Score]]]
    """Split -> variant -> metric -> score."""
    transfer_gain: dict[str, Score] = {}
    """Variant -> how much better the tuned model is by the headline on test, with a paired bootstrap's interval."""
    groups: dict[str, dict[str, Score]] = {}
    """Group of the test rows (role `group`) -> variant -> the headline metric on its rows alone."""
    calibration_error: dict[str, float] = {}
    """Variant -> expected calibration error on test; of tasks with one class a row."""
    feature_similarity: list[float] = []
    """Similarity (CKA) of each block's features in the checkpoint and in the tuned model, from the input on."""
    steps: dict[str, RuntimeFacts] = {}
    """Variant between the steps of `compress` -> its size and speed."""
    source: dict[str, Score] = {}
    """Accuracy on the rows of `evaluation.source_task`: `before` and `after` the training, and what is `lost`, paired."""
    heads: dict[str, TaskHead] = {}
    """Name -> a further head of the same encoder."""
    parameters: dict[str, int]
    """`all` and `trainable`."""
    seconds: dict[str, float]
    """Stage -> seconds."""
    energy: dict[str, float] = {}
    """Stage -> estimate in Wh; empty where CodeCarbon is not installed."""
    peak_memory_bytes: int
    """Largest resident memory of the process."""
    exports: dict[str, ExportFacts]
    """Exported variant (`onnx`, `onnx-int8`) -> its facts."""
    tried: dict[str, SearchTrial] = {}
    """Scheme -> what the search found of it, in the order in which it was tried."""
    pytorch: RuntimeFacts
    """The same of the tuned model in PyTorch."""
    data: DataFacts
    revisions: dict[str, str]
    """Hub id -> commit."""
    versions: dict[str, str]
    """Package -> version."""
    hardware: str
    history: dict[str, list[dict[str, float]]]
    """Variant -> the Trainer's log: step, epoch, loss, learning_rate, eval_loss."""
    confusion: list[list[int]]
    """Rows: references, columns: predictions of the tuned model on the test split; empty without classes."""
    worst: list[Example]
    """The worst test errors of the tuned model."""
    plain: str = ""
    """Python that answers without Transformers, for the card; empty where there is none."""
    examples: list[str] = []
    """A few test inputs, where they are texts."""
    hub_cards: dict[str, dict[str, Any]] = {}
    """Hub id -> `private`, and `license` and `language` (codes) as the cards of checkpoint and data tell them."""
    auto_model: str = ""
    """The Auto class of Transformers that loads the model."""
    warnings: list[str]
    """What a reader should not overlook."""

    @model_validator(mode="before")
    @classmethod
    def _of_an_earlier_version(cls, record: Any) -> Any:
        """Records held the nominal power of the machine where `energy` is now."""
        return {key: value for key, value in record.items() if key != "watts"} if isinstance(record, dict) else record

    def rejected(self) -> dict[str, str]:
        """Variant -> why it is not shipped."""
        return {name: facts.rejected for name, facts in self.exports.items() if facts.rejected}

    def save(self, path: Path) -> None:
        """Write the record as JSON, whole or not at all."""
        partial = path.with_name(path.name + ".partial")
        partial.write_text(json.dumps(self.model_dump(by_alias=True), indent=1) + "\n", encoding="utf-8")
        partial.replace(path)

    @classmethod
    def load(cls, path: Path) -> "RunResult":
        """Read a record."""
        return cls.model_validate_json(path.read_text(encoding="utf-8"))
