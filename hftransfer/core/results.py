"""The record of a run, `result.json`. The model card, the report and every table read only this."""

from html import escape
from typing import Any, ClassVar

from pydantic import Field

from hftransfer.core.data_facts import DataFacts
from hftransfer.core.plugins import Record
from hftransfer.core.saved_record import SavedRecord
from hftransfer.core.scores import Calibration, OutOfDomain, RiskCoverage, Score, Thresholds

__all__ = [
    "BenchmarkTiming",
    "Calibration",
    "DataFacts",
    "Example",
    "ExportFacts",
    "HeadInput",
    "JsonObject",
    "OutOfDomain",
    "RiskCoverage",
    "RunResult",
    "RuntimeFacts",
    "SampleFacts",
    "Score",
    "SearchTrial",
    "TaskHead",
    "Thresholds",
]

SCHEMA = 1

JsonObject = dict[str, Any]
"""A JSON object whose keys depend on the recipe: name -> value."""


class RuntimeFacts(Record):
    """Size and latency of a variant, measured after warm-up on test rows, on the machine that `hardware` names."""

    bytes: int
    """Size of the weights on disk."""
    p50_ms: float
    """Median latency of one row, in milliseconds."""
    p95_ms: float
    """95th percentile of the latency of one row."""
    p50_ms_batch8: float
    """Median latency of a batch of 8."""
    p95_ms_batch8: float
    """95th percentile of the latency of a batch of 8."""


class ExportFacts(RuntimeFacts):
    """An exported variant compared with the PyTorch model on the same rows."""

    max_abs_diff: float
    """Largest absolute difference of an output."""
    agreement: float
    """Share of rows with the same prediction; numbers agree within a hundredth of their standard deviation."""
    loader: str
    """The class of Optimum that loads it."""
    made_by: dict[str, str] = {}
    """Packages that exported and quantized it, with their versions."""
    files: list[str] = []
    """The model files in the variant's folder."""
    drop: Score | None = None
    """Loss in the metric of `export.metric` on the test rows, with the interval of a paired bootstrap."""
    largest_differences: list[tuple[int, float]] = []
    """Row number and largest difference of the test rows whose outputs differ most."""
    rejected: str | None = None
    """Why the variant was rejected; None for an accepted one."""


class SearchTrial(Record):
    """One quantization scheme tried by `export.quantization: auto`, measured on the validation rows."""

    score: float | None = None
    """The metric that `export.metric` names; None if the scheme could not be exported."""
    drop: float | None = None
    """Loss in this metric compared with PyTorch."""
    bytes: int = 0
    """Size of the exported files."""
    p50_ms: float = 0.0
    """Median latency of one row, in milliseconds."""
    excluded_nodes: int = 0
    """Nodes of the graph that are not quantized."""
    reason: str | None = None
    """Why the scheme was not selected; None for the selected one."""


class BenchmarkTiming(Record):
    """Latency of a variant at one batch size and number of threads."""

    variant: str
    threads: int
    batch: int
    milliseconds: list[float]
    """Of each call; empty if the variant does not run here."""
    first_ms: float
    """Of the first call, which compiles and allocates; loading the model is not included."""
    peak_bytes: int
    """Largest resident memory of the process so far."""
    reason: str | None = None
    """Why the variant does not run here."""

    def percentile(self, percent: float) -> float:
        """A percentile of the calls, in milliseconds."""
        import numpy

        return float(numpy.percentile(self.milliseconds, percent))


class Example(Record):
    """A test row that the tuned model gets wrong."""

    row: int
    reference: str
    prediction: str
    error: float
    """How wrong the prediction is, by which examples are ranked."""
    rendered: dict[str, str | list[tuple[str, str]]]
    """The row as `Task.render` returns it."""


class HeadInput(Record):
    """What the layer that makes the logits of a linear probe reads."""

    pooling: str
    """`mean` of all tokens, the `first` one, what the checkpoint's `pooler` makes of them, or what the `head` does."""
    layer_norm: bool = False
    """Whether each row's features then get mean 0 and variance 1."""
    tanh: bool = False
    """Whether the tanh of a tenth of them follows."""


class TaskHead(Record):
    """An additional head of a multi-task run; its own record is `heads/NAME/result.json`."""

    task: str
    headline: str
    """The metric that is shown first."""
    scores: dict[str, Score]
    """Metric -> score on the test rows of its task."""


class SampleFacts(Record):
    """Where the content of a sample comes from."""

    license: str
    provenance: str
    """Package and origin."""
    download_bytes: int = 0
    """What its first use fetches."""
    flaws: list[str] = []
    """What is known to be wrong with it."""


class RunResult(SavedRecord):
    """Scores, costs and provenance of a finished run."""

    damaged: ClassVar[str] = "is damaged, or not the record of a run: run the recipe again with --overwrite"

    schema_: int = Field(default=SCHEMA, alias="schema")
    name: str
    id: str = ""
    """Random identifier, by which `push` recognizes the run's repository on the Hub."""
    task: str
    headline: str
    """The metric by which variants are compared."""
    recipe: JsonObject
    """The recipe with every default written out."""
    scores: dict[str, dict[str, dict[str, Score]]]
    """Split -> variant -> metric -> score."""
    transfer_gain: dict[str, Score] = {}
    """Variant -> gain of the tuned model over it in the headline metric on test, with a paired bootstrap interval."""
    groups: dict[str, dict[str, Score]] = {}
    """Group of the test rows (role `group`) -> variant -> headline score on the rows of the group."""
    calibration_error: dict[str, float] = {}
    """Variant -> expected calibration error (ECE) on test; only for tasks with classes, of several the mean of each."""
    calibration: Calibration | None = None
    """Of the tuned model; None where a row has no classes, or the logits have no last layer of their own."""
    thresholds: Thresholds | None = None
    """What the thresholds that were chosen on validation rows change on the test rows (`task.threshold`)."""
    risk_coverage: RiskCoverage | None = None
    """Accuracy of the tuned model where it abstains on its least certain test rows; only for tasks with classes."""
    out_of_domain: OutOfDomain | None = None
    """How well rows of other classes are recognized (`evaluation.out_of_domain`)."""
    feature_similarity: list[float] = []
    """CKA similarity of each block's features in the checkpoint and in the tuned model, from the input on."""
    compression_steps: dict[str, RuntimeFacts] = {}
    """Variant before the last step of `compress` (`1-full`) -> its size and latency."""
    source_task_scores: dict[str, Score] = {}
    """Accuracy on the rows of `evaluation.source_task`: `before` and `after` training, and the paired loss, `lost`."""
    task_heads: dict[str, TaskHead] = {}
    """Name -> additional head of the same encoder."""
    fitted: dict[str, Any] = {}
    """Fields of the task that were fitted to the tuned model's own outputs, such as a threshold."""
    parameters: dict[str, int]
    """`all` and `trainable`."""
    new_weights: list[str] = []
    """Weights outside of the head that the checkpoint lacks, and that began at random."""
    seconds: dict[str, float]
    """Stage -> seconds."""
    energy: dict[str, float] = {}
    """Stage -> estimate in Wh; empty if CodeCarbon is not installed."""
    peak_memory_bytes: int
    """Largest resident memory of the process."""
    exports: dict[str, ExportFacts]
    """Exported variant (`onnx`, `onnx-int8`) -> its size, latency and agreement with PyTorch."""
    search: dict[str, SearchTrial] = {}
    """Quantization scheme -> its trial, in the order of the search."""
    pytorch: RuntimeFacts
    """Size and latency of the tuned model in PyTorch."""
    weights: dict[str, str] = {}
    """File of weights in the run's folder -> SHA-256; empty in records of earlier versions."""
    data: DataFacts
    revisions: dict[str, str]
    """Hub id -> commit."""
    versions: dict[str, str]
    """Package -> version."""
    hardware: str
    strategy_note: str = ""
    """What the strategy says of the model that it has made, in a sentence."""
    head_input: HeadInput | None = None
    """Of a linear probe that is fitted at once; None for other strategies, and in records of earlier versions."""
    history: dict[str, list[dict[str, float]]]
    """Variant -> the Trainer's log: step, epoch, loss, learning_rate, eval_loss."""
    confusion: list[list[int]]
    """Rows: references, columns: predictions of the tuned model on the test split; empty without classes."""
    worst: list[Example]
    """The test rows with the largest errors of the tuned model."""
    runtime_snippet: str = ""
    """Python for the card that runs the export without Transformers; empty if the task has none."""
    examples: list[str] = []
    """A few test inputs, if they are texts."""
    hub_cards: dict[str, JsonObject] = {}
    """Hub id -> `private`, `gated`, and from the card `license` and `language` (codes), of checkpoint and data set."""
    samples: dict[str, SampleFacts] = {}
    """Name -> facts of the samples that the run uses, or the run whose model it starts from."""
    auto_model: str = ""
    """The Auto class of Transformers that loads the model."""
    warnings: list[str]
    """What a reader should not overlook."""

    def rejected(self) -> dict[str, str]:
        """Rejected variant -> reason."""
        return {name: facts.rejected for name, facts in self.exports.items() if facts.rejected}

    def _repr_html_(self) -> str:
        """The test scores as a table, for notebooks."""
        rows = []
        for variant, scores in self.scores.get("test", {}).items():
            score, facts = scores[self.headline], {"tuned": self.pytorch, **self.exports}.get(variant)
            interval = f"{score.value:.3f} [{score.low:.3f}, {score.high:.3f}]"
            size = (f"{facts.bytes / 1e6:.1f}", f"{facts.p50_ms:.1f}") if facts else ("", "")
            rows.append((variant + " (rejected)" * (variant in self.rejected()), interval, *size))
        head = ("variant", f"{self.headline} on test", "MB", "p50 ms")
        lines = [f"<tr><th>{'</th><th>'.join(map(escape, head))}</th></tr>"]
        lines += [f"<tr><td>{'</td><td>'.join(map(escape, row))}</td></tr>" for row in rows]
        warned = "".join(f"<li>{escape(warning)}</li>" for warning in self.warnings)
        return f"<p><b>{escape(self.name)}</b>: {escape(self.task)}</p><table>{''.join(lines)}</table><ul>{warned}</ul>"
