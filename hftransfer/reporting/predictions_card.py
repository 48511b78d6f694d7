"""The card of a data set of predictions: its metadata for the Hub, and the values of `predictions.md.jinja`."""

from __future__ import annotations

from collections.abc import Sequence

from hftransfer.core.results import RunResult
from hftransfer.reporting.model_card import data_license, data_set
from hftransfer.reporting.tables import score_table
from hftransfer.reporting.templates import render
from hftransfer.reporting.usage import card_task

_COLUMNS = {
    "reference": "what the row's label or text is",
    "prediction": "what the model predicts",
    "right": "whether the prediction is right: the error is 0",
    "error": "how wrong it is, by the task's own measure",
    "confidence": "the highest of the probabilities",
    "probabilities": "of the classes, in the order of their names",
    "source_split": "the split of the source that the row is from",
    "source_row": "its number there, from 0 on",
}
# The Hub's viewer shows the first one.
_SPLITS = ("test", "validation")


def published_splits(result: RunResult) -> list[str]:
    """The splits whose predictions are published."""
    return [split for split in _SPLITS if split in result.scores]


def card(result: RunResult, model: str, repo: str, columns: Sequence[str], *, public: bool) -> str:
    """The README.md of the data set.

    Args:
        result: the record of the run.
        model: the model's repository.
        repo: that of the data set.
        columns: of its files.
        public: whether the inputs of rows are among them.
    """
    from huggingface_hub import DatasetCardData

    data_id, data_name = data_set(result)
    on_hub = result.recipe["data"]["source"]["name"] == "hub"
    splits = published_splits(result)
    files = [{"split": split, "path": f"predictions/{split}.parquet"} for split in splits]
    metadata = DatasetCardData(
        pretty_name=f"Predictions of {model}",
        license=data_license(result),
        task_categories=[card_task(result).pretraining or result.task],
        source_datasets=[data_id] if on_hub else None,
        models=[model],
        tags=["hftransfer", "predictions"],
        configs=[{"config_name": "default", "data_files": files}],
    )
    return render(
        "predictions.md.jinja",
        metadata=metadata.to_yaml(),
        model=model,
        repo=repo,
        task=result.task,
        data_name=data_name,
        data_id=data_id if on_hub else "",
        revision=result.revisions.get(data_id, ""),
        labels=result.data.labels if "probabilities" in columns else [],
        columns={name: _COLUMNS.get(name, "what the model reads") for name in columns},
        scores=[score_table(result, split) for split in splits],
        public=public,
        splits=splits,
    )
