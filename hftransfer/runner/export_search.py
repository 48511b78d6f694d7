"""The search for the smallest and fastest variant within `export.max_drop`, on the validation rows.

What was tried lies in `work/tried` of the run until it is finished: an interrupted search continues after it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from hftransfer.core import ranks
from hftransfer.core.errors import ExportError
from hftransfer.core.files import atomic_directory, nest_outputs
from hftransfer.core.results import Score, SearchTrial
from hftransfer.evaluation.latency import paired_latency
from hftransfer.evaluation.scoring import Answers, answers
from hftransfer.exporters import Exporter, ExportOptions
from hftransfer.metrics import lower_is_better
from hftransfer.runner.context import RunContext
from hftransfer.runner.plan import Plan
from hftransfer.runner.specs import gate_reference
from hftransfer.tasks import Model, Outputs

Trials = dict[str, SearchTrial]


def gate_metric(plan: Plan) -> str:
    """The metric of which an exported variant may lose no more than `export.max_drop`."""
    assert plan.recipe.export is not None
    return plan.metrics[0] if plan.recipe.export.metric == "headline" else plan.recipe.export.metric


def drop(context: RunContext, reference: Answers, candidate: Answers, split: str) -> tuple[Score, float]:
    """How much worse the candidate is than the reference by the gate's metric, with a paired bootstrap's interval.

    The second value is the candidate's own score.
    """
    metric, references, units = gate_metric(context.plan), context.references(split), context.units(split)
    scorer = context.scorer([metric])
    values = scorer.resample({"before": reference, "after": candidate}, references, units)
    before, after = values["before"][metric], values["after"][metric]
    lost = after - before if lower_is_better(metric) else before - after
    return scorer.interval(lost, len(references)), float(after[0])


@dataclass(frozen=True)
class Candidate:
    """A scheme of the exporter, with nodes of the graph that it leaves alone."""

    name: str
    scheme: str
    excluded_nodes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Search:
    """One search, over what an exporter makes of the fp32 export in `source`."""

    context: RunContext
    exporter: Exporter
    source: Path
    options: ExportOptions

    def run(self) -> tuple[str | None, Trials]:
        """The candidate that ships, None for the plain export, and all that were tried.

        Of those within `max_drop` on the validation rows, the one with the least product of time and size: a
        convolutional net in int8 is often no faster than in fp32, and a quarter of its size.
        """
        trials: Trials = {}
        for candidate in self._candidates(trials):
            record = self.context.run_folder.record(f"tried/{candidate.name}", partial(self._try, candidate, trials))
            trials[candidate.name] = SearchTrial.model_validate(record)
        costs = {name: trial.p50_ms * trial.bytes for name, trial in trials.items() if trial.reason is None}
        best = min(costs, key=lambda name: costs[name], default="fp32")
        for name in costs.keys() - {best}:
            reason = f"'{best}' has a smaller product of time and size"
            trials[name] = trials[name].model_copy(update={"reason": reason})
        return (None if best == "fp32" else best), trials

    def _candidates(self, trials: Trials) -> Iterator[Candidate]:
        """Each follows from what was found of the previous one."""
        yield Candidate("fp32", "")
        for scheme in self.exporter.schemes(self.source):
            yield Candidate(scheme, scheme)
            if scheme == "int8-static" and trials[scheme].reason is not None and trials[scheme].score is not None:
                yield from self._excluding(scheme, trials)

    def _excluding(self, scheme: str, trials: Trials) -> Iterator[Candidate]:
        """The scheme without the most sensitive group of nodes, the two, the four, until the drop is small enough."""
        groups = self.context.run_folder.record(
            "tried/sensitive", lambda: self.exporter.sensitive_nodes(self.source, self.options), alone=True
        )
        count = 1
        while count < len(groups):
            name = f"{scheme}-excluded-{count}"
            yield Candidate(name, scheme, tuple(itertools.chain.from_iterable(groups[:count])))
            count = len(groups) if trials[name].reason is None else 2 * count

    def _make(self, candidate: Candidate) -> str | None:
        """Make a candidate on the main process; the reason, where the runtime refuses."""
        if not candidate.scheme or not ranks.is_main():
            return None

        def make(place: Path) -> None:
            excluded = frozenset(candidate.excluded_nodes)
            self.exporter.make_variant(candidate.scheme, self.source, place, self.options, excluded)
            # One that cannot be loaded is no candidate.
            self.exporter.load(self.context.plan.task, place)

        try:
            atomic_directory(self._folder(candidate), make)
        except ExportError as error:
            return str(error)
        return None

    def _folder(self, candidate: Candidate) -> Path:
        tried = self.context.run_folder.work_folder / "tried"
        return tried / candidate.name if candidate.scheme else self.source

    @cached_property
    def _plain_export(self) -> Model:
        """The fp32 export, in turns with which the others are timed."""
        model: Model = self.exporter.load(self.context.plan.task, self.source)
        return model

    def _time(self, model: Model, trials: Trials) -> float:
        """Median milliseconds of a row, in proportion to the fp32 export, which is called in turns with it."""
        task, encoded = self.context.plan.task, self.context.encoded
        if "fp32" not in trials:
            return paired_latency(task, [model], encoded, "validation")[0]
        timed, baseline = paired_latency(task, [model, self._plain_export], encoded, "validation")
        return trials["fp32"].p50_ms * timed / baseline

    def _try(self, candidate: Candidate, trials: Trials) -> dict[str, Any]:
        """Make, score on the validation rows, time; a limit of the runtime is an outcome too."""
        context, run_folder, folder = self.context, self.context.run_folder, self._folder(candidate)
        if reason := run_folder.record(f"tried/{candidate.name}-made", partial(self._make, candidate)):
            return SearchTrial(reason=reason).model_dump()
        model = self.exporter.load(context.plan.task, folder)
        flat = run_folder.arrays(
            f"tried/{candidate.name}",
            lambda: context.predict(model, context.encoded, candidate.name, ("validation",)),
        )
        outputs = nest_outputs(flat)["validation"]
        return ranks.from_main(lambda: self._trial(candidate, trials, model, outputs).model_dump())

    def _trial(self, candidate: Candidate, trials: Trials, model: Model, outputs: Outputs) -> SearchTrial:
        """A candidate's score and time, and whether it may ship."""
        context, folder = self.context, self._folder(candidate)
        found = answers(context.task_of("tuned"), outputs, context.side("validation"), context.references("validation"))
        lost, score = drop(
            context, context.answers("validation", gate_reference(context.plan.recipe)), found, "validation"
        )
        assert context.plan.recipe.export is not None
        max_drop = context.plan.recipe.export.max_drop
        reason = None
        if lost.value > max_drop:
            reason = f"it loses {lost.value:.4f} of {gate_metric(context.plan)} on the validation rows, over {max_drop}"
        return SearchTrial(
            score=score,
            drop=lost.value,
            bytes=sum((folder / file).stat().st_size for file in self.exporter.files(folder)),
            p50_ms=self._time(model, trials),
            excluded_nodes=len(candidate.excluded_nodes),
            reason=reason,
        )
