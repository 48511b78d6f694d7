"""What `--json` prints of a finished run: the verdict, scores and costs; `result.json` has the rest."""

from pathlib import Path

from hftransfer.core.results import JsonObject, RunResult
from hftransfer.reporting.findings import findings
from hftransfer.reporting.tables import headline_scores
from hftransfer.reporting.verdict import verdict


def summary(result: RunResult, folder: Path) -> JsonObject:
    """A run in the directory `folder`: sizes in bytes, latencies in milliseconds, times in seconds."""
    return {
        "name": result.name,
        "folder": folder,
        "task": result.task,
        "strategy": result.recipe["strategy"]["name"],
        "seed": result.recipe["seed"],
        "headline": result.headline,
        "verdict": verdict(result),
        "headline_scores": headline_scores(result),
        "scores": result.scores,
        "transfer_gain": result.transfer_gain,
        "pytorch": result.pytorch,
        "exports": {
            name: facts.model_dump(include={*type(result.pytorch).model_fields, "agreement", "rejected"})
            for name, facts in result.exports.items()
        },
        "rows": result.data.rows,
        "parameters": result.parameters,
        "seconds": result.seconds,
        "energy": result.energy,
        "peak_memory_bytes": result.peak_memory_bytes,
        "findings": findings(result),
        "warnings": result.warnings,
    }
