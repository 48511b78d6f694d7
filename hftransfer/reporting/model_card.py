"""The model card: its metadata for the Hub, and the values of `model_card.md.jinja`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from hftransfer.core.prefixes import SAMPLE
from hftransfer.core.results import RunResult
from hftransfer.reporting import tables
from hftransfer.reporting.certainty import certainty, threshold_values
from hftransfer.reporting.redaction import checkpoint_name, published, recipe_yaml, without_folders
from hftransfer.reporting.tables import Table, amount, headline_scores, interval, metric_label
from hftransfer.reporting.templates import render
from hftransfer.reporting.usage import (
    adapter_usage,
    card_task,
    export_usage,
    input_types,
    model_usage,
    repository,
    runtime_usage,
)
from hftransfer.reporting.verdict import verdict

if TYPE_CHECKING:
    from huggingface_hub import ModelCardData

_WEAKEST = 3


def card(result: RunResult, repo: str | None = None, *, adapter: bool = False) -> str:
    """The model's README.md: metadata that the Hub reads, scores, limitations, usage and recipe.

    Args:
        result: the run's record.
        repo: the id on the Hub; None for a local run, whose folder has no plots.
        adapter: whether the repository holds the PEFT adapter alone.
    """
    result = published(result)
    task, score, recipe = card_task(result), headline_scores(result)["tuned"], recipe_yaml(result)
    usage = None if adapter else model_usage(result, task)
    return render(
        "model_card.md.jinja",
        result=result,
        repo=repo,
        metadata=_metadata(result, adapter).to_yaml(),
        checkpoint=checkpoint_name(result),
        commit=result.revisions.get(result.recipe["model"]["id"] or ""),
        strategy=result.recipe["strategy"]["name"],
        data_name=data_set(result)[1],
        score=score,
        score_text=interval(score),
        metric=metric_label(result.headline, result),
        confidence=tables.confidence(result),
        scores=tables.score_table(result),
        gains=tables.gain_table(result),
        verdict=verdict(result),
        certainty=certainty(result),
        thresholds=threshold_values(result),
        training=_training_table(result),
        data=tables.data_table(result),
        licenses=list(_licenses(result)),
        runtimes=tables.runtime_table(result),
        groups=tables.group_table(result),
        made_by=_made_by(result),
        rejected=result.rejected(),
        weakest_classes=_weakest_classes(result),
        warnings=result.warnings,
        adapter=adapter_usage(result, task) if adapter else None,
        auto_model=(result.auto_model if adapter else "") or task.auto_model,
        repository=repository(result, repo),
        usage=usage,
        export=export_usage(result, task) if usage else None,
        runtime=runtime_usage(result, repo) if usage else None,
        recipe=recipe,
        # Longer than any run of backticks in it, which would end the block.
        fence="`" * max([4, *(len(run) + 1 for run in re.findall("`+", recipe))]),
        minutes=sum(result.seconds.values()) / 60,
        energy=amount(sum(result.energy.values())) if result.energy else "",
    )


def _made_by(result: RunResult) -> str:
    """The packages that made the exports, with their versions."""
    versions = {name: version for facts in result.exports.values() for name, version in facts.made_by.items()}
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def _checkpoint_license(result: RunResult, model: str) -> str | None:
    """The license of the checkpoint, a sample or of the Hub."""
    if sample := result.samples.get(model.removeprefix(SAMPLE)):
        return sample.license
    return result.hub_cards.get(model, {}).get("license") if model in result.revisions else None


def model_license(result: RunResult) -> str | None:
    """The license of the tuned model: that of the recipe's `hub` section, else the checkpoint's if it was trained."""
    named, trained = (result.recipe.get("hub") or {}).get("license"), result.recipe["strategy"]["name"] != "scratch"
    return named or (_checkpoint_license(result, str(result.recipe["model"]["id"])) if trained else None)


def _licenses(result: RunResult) -> Iterator[str]:
    """License, origin and flaws of checkpoint and data, a line each."""
    for repo, facts in result.hub_cards.items():
        yield f"License of {repo}: {facts.get('license') or 'none is named'}"
    for name, sample in result.samples.items():
        flaws = f". Known flaws: {' '.join(sample.flaws)}" if sample.flaws else ""
        yield f"License of sample {name}: {sample.license}; {sample.provenance}{flaws}"


def _metadata(result: RunResult, adapter: bool) -> ModelCardData:
    from huggingface_hub import EvalResult, ModelCardData

    model, data, strategy = result.recipe["model"]["id"], result.recipe["data"], result.recipe["strategy"]["name"]
    data_id, data_name = data_set(result)
    exported = [result.recipe["export"]["format"]] if result.exports.keys() - result.rejected().keys() else []
    # A share of another split is not a split of the data set.
    split = None if isinstance(data["splits"]["test"], int | float) else data["splits"]["test"] or "test"
    scores = result.scores["test"]["tuned"]
    results = [
        EvalResult(
            task_type=result.task,
            dataset_type=data_id,
            dataset_name=data_name,
            dataset_config=data["source"].get("config"),
            dataset_split=split,
            dataset_revision=result.revisions.get(data_id),
            metric_type=metric,
            metric_name=metric_label(metric, result),
            metric_value=score.value,
        )
        for metric, score in scores.items()
    ]
    # Training from scratch uses the architecture of the checkpoint alone.
    derived = strategy != "scratch" and model in result.revisions
    hub = result.recipe.get("hub") or {}
    return ModelCardData(
        library_name="peft" if adapter else "transformers",
        license=model_license(result),
        language=hub.get("language") or _languages(result, data_id),
        pipeline_tag=card_task(result).pretraining or result.task,
        tags=["hftransfer", strategy, *([] if adapter else exported)],
        base_model=model if derived else None,
        base_model_relation=("adapter" if adapter else "finetune") if derived else None,
        widget=[{"text": text} for text in result.examples] or None,
        datasets=[data_id] if data["source"]["name"] == "hub" else None,
        metrics=list(scores),
        model_name=result.name,
        eval_results=results,
    )


def _languages(result: RunResult, data_id: str) -> list[str] | None:
    """Language codes of the data set, if the model reads or hears them and the card names those of this config alone.

    Cards of data sets with many configs name the languages of all.
    """
    codes: list[str] = result.hub_cards.get(data_id, {}).get("language", [])
    has_language = {"text", "words", "audio"} & set(input_types(card_task(result)))
    return codes if 1 <= len(codes) <= 2 and has_language else None


def data_license(result: RunResult) -> str | None:
    """The license of the data set: that of its card on the Hub, or of the sample."""
    source = result.recipe["data"]["source"]
    if source["name"] == "sample" and (sample := result.samples.get(source["id"])):
        return sample.license
    return result.hub_cards.get(source.get("id"), {}).get("license") if source["name"] == "hub" else None


def data_set(result: RunResult) -> tuple[str, str]:
    """Id and name of the data set."""
    source = result.recipe["data"]["source"]
    return (source["id"], source["id"]) if "id" in source else (source["name"], f"local data ({source['name']})")


def _training_table(result: RunResult) -> Table:
    strategy, arguments = without_folders(result.recipe["strategy"]), without_folders(result.recipe["training"])
    epochs = max((entry["epoch"] for entry in result.history.get("tuned", []) if "epoch" in entry), default=0)
    rows = [("strategy", strategy["name"])]
    rows += [(f"strategy.{key}", str(value)) for key, value in strategy.items() if key != "name"]
    rows += [(f"training.{key}", str(value)) for key, value in arguments.items()]
    rows += [("epochs trained", f"{epochs:g}")] if epochs else []
    rows += [("made by", result.strategy_note)] if result.strategy_note else []
    rows += [
        ("parameters", f"{result.parameters['all']:,}"),
        ("trained parameters", f"{result.parameters['trainable']:,}"),
    ]
    return Table("Training", ("setting", "value"), rows)


def _weakest_classes(result: RunResult) -> list[tuple[str, float, int]]:
    """Label, recall and test rows of the classes with the lowest recall, if it is below 1."""
    rows = enumerate(zip(result.data.labels, result.confusion, strict=False))
    recalls = sorted((counts[i] / sum(counts), label, sum(counts)) for i, (label, counts) in rows if sum(counts))
    return [(label, recall, count) for recall, label, count in recalls[:_WEAKEST] if recall < 1]
