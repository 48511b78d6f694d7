"""What would run, in a few lines, for the terminal, `print` and notebooks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hftransfer.recipe.schema import Recipe

if TYPE_CHECKING:
    from hftransfer.runner.plan import Plan


def describe(plan: Plan) -> str:
    """What would run, in a few lines."""
    facts, recipe = plan.rows.facts, plan.recipe
    counts = ", ".join(f"{count:,} {name}" for name, count in facts.rows.items())
    removed, skipped = sum(facts.duplicates_removed.values()), sum(facts.skipped.values())
    left_out = f"; {skipped} that cannot be used left out" if skipped else ""
    reasons = ", ".join(f"{count} {reason}" for reason, count in facts.dropped.items())
    left_out += f"; data.drop leaves out {reasons}" if reasons else ""
    new = f"a new {plan.origin.config.model_type}" if "model_type" in (recipe.model.config or {}) else ""
    origin = " from ".join(part for part in (new, recipe.model.id) if part)
    return "\n".join(
        [
            f"task        {plan.task.name}, scored by {', '.join(plan.metrics)}",
            f"rows        {counts}; {removed} duplicates removed{left_out}",
            *(f"sample      {line}" for line in _samples(plan)),
            f"labels      {plan.task.describe_labels(plan.rows.splits['train'])}",
            f"checkpoint  {origin}, {plan.parameters['all']:,} parameters",
            f"strategy    {recipe.strategy.name}, {plan.parameters['trainable']:,} parameters train",
            f"baselines   {', '.join(plan.baselines) or 'none'}",
            f"exports     {_exports(recipe)}",
            *([f"pushed to   {recipe.hub.repo}"] if recipe.hub else []),
            *(f"warning     {line}" for line in plan.warnings),
        ]
    )


def _samples(plan: Plan) -> list[str]:
    return [
        f"{count:,} of the {total:,} rows of '{split}' were read, at random; a run reads all, and so does "
        "data.check_rows=0"
        for split, (count, total) in plan.rows.sampled.items()
    ]


def _exports(recipe: Recipe) -> str:
    if recipe.export is None:
        return "none"
    schemes = [recipe.export.optimize, None if recipe.export.quantization == "none" else recipe.export.quantization]
    return ", ".join([recipe.export.format, *(scheme for scheme in schemes if scheme)])
