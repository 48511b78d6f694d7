"""The search for the smallest and fastest artefact that keeps the promise, on the validation rows.

What was tried lies in `work/tried` of the run until it is finished: an interrupted search goes on behind it.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from hftransfer.core.errors import ExportError
from hftransfer.core.results import Score, SearchTrial
from hftransfer.core.run_folder import atomic_directory, nest_outputs
from hftransfer.evaluation.latency import paired_latency
from hftransfer.exporters import Exporter, ExportOptions
from hftransfer.metrics import lower_is_better
from hftransfer.runner.plan import Plan, gate_reference
from hftransfer.runner.stages import RunContext, scorer
from hftransfer.tasks import Outputs


def gate_metric(plan: Plan) -> str:
    """The metric of the promise."""
    assert plan.recipe.export is not None
    return plan.metrics[0] if plan.recipe.export.metric == "headline" else plan.recipe.export.metric


def drop(plan: Plan, mine: Outputs, theirs: Outputs, references: np.ndarray) -> tuple[Score, float]:
    """How much worse `theirs` are than `mine` by the metric of the promise, with a paired bootstrap's interval.

    Beside it, what the metric is for `theirs`.
    """
    metric = gate_metric(plan)
    made = scorer(plan, [metric])
    before, after = (made.evaluate(plan.task, it, references)[metric] for it in (mine, theirs))
    lost = made.interval(after - before if lower_is_better(metric) else before - after, len(references))
    return lost, float(after[0])


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

    def run(self) -> tuple[str | None, dict[str, SearchTrial]]:
        """The candidate that ships, None for the export as it is, and all that were tried.

        Of those that keep the promise on the validation rows, the one with the least product of time and size: a
        convolutional net in integers is often no faster than in fp32, and a quarter of its size.
        """
        tried: dict[str, SearchTrial] = {}
        for candidate in self._candidates(tried):
            found = self.context.run_folder.record(f"tried/{candidate.name}", partial(self._try, candidate, tried))
            tried[candidate.name] = SearchTrial.model_validate(found)
        fit = {name: it.p50_ms * it.bytes for name, it in tried.items() if it.reason is None}
        best = min(fit, key=lambda name: fit[name], default="fp32")
        for name in fit.keys() - {best}:
            tried[name] = tried[name].model_copy(update={"reason": f"'{best}' has a smaller product of time and size"})
        return (None if best == "fp32" else best), tried

    def _candidates(self, tried: dict[str, SearchTrial]) -> Iterator[Candidate]:
        """What comes next follows from what the one before was found to be."""
        yield Candidate("fp32", "")
        for scheme in self.exporter.schemes(self.source):
            yield Candidate(scheme, scheme)
            if scheme == "int8-static" and tried[scheme].reason is not None and tried[scheme].score is not None:
                yield from self._sparing(scheme, tried)

    def _sparing(self, scheme: str, tried: dict[str, SearchTrial]) -> Iterator[Candidate]:
        """The scheme without the one most sensitive group of nodes, the two, the four, until the promise is kept."""
        groups = self.context.run_folder.record(
            "tried/sensitive", lambda: self.exporter.sensitive(self.source, self.options)
        )
        count = 1
        while count < len(groups):
            name = f"{scheme}-spared-{count}"
            yield Candidate(name, scheme, tuple(itertools.chain.from_iterable(groups[:count])))
            count = len(groups) if tried[name].reason is None else 2 * count

    def _make(self, candidate: Candidate) -> str | None:
        """Make a candidate on the main process; why it cannot be, where the runtime says so."""
        if not candidate.scheme or not self.context.run_folder.state.is_main_process:
            return None

        def make(place: Path) -> None:
            self.exporter.make(candidate.scheme, self.source, place, self.options, frozenset(candidate.excluded_nodes))
            # One that cannot be loaded is none.
            self.exporter.load(self.context.plan.task, place)

        try:
            atomic_directory(self._folder(candidate), make)
        except ExportError as error:
            return str(error)
        return None

    def _folder(self, candidate: Candidate) -> Path:
        return self.context.run_folder.work_folder / "tried" / candidate.name if candidate.scheme else self.source

    @cached_property
    def _plain(self) -> Any:
        """The export as it is, beside which the others are timed."""
        return self.exporter.load(self.context.plan.task, self.source)

    def _time(self, model: Any, tried: dict[str, SearchTrial]) -> float:
        """Median milliseconds of a row, in proportion to the export as it is, which is called in turns with it."""
        plan, encoded = self.context.plan, self.context.encoded
        if "fp32" not in tried:
            return paired_latency(plan.task, [model], encoded, "validation")[0]
        mine, beside = paired_latency(plan.task, [model, self._plain], encoded, "validation")
        return tried["fp32"].p50_ms * mine / beside

    def _try(self, candidate: Candidate, tried: dict[str, SearchTrial]) -> dict[str, Any]:
        """Make, score on the validation rows, time; an upstream limit is an outcome too."""
        plan, run_folder, folder = self.context.plan, self.context.run_folder, self._folder(candidate)
        if why := run_folder.record(f"tried/{candidate.name}-made", partial(self._make, candidate)):
            return SearchTrial(reason=why).model_dump()
        model = self.exporter.load(plan.task, folder)
        made = run_folder.arrays(
            f"tried/{candidate.name}",
            lambda: self.context.predict(model, self.context.encoded, candidate.name, ("validation",)),
        )
        theirs, mine = nest_outputs(made)["validation"], self.context.outputs["validation"][gate_reference(plan.recipe)]
        references = plan.task.references(plan.rows.splits["validation"])
        apart, score = drop(plan, mine, theirs, references)
        metric, lost = gate_metric(plan), apart.value
        size = sum((folder / file).stat().st_size for file in self.exporter.files(folder))
        p50_ms = self._time(model, tried)
        assert plan.recipe.export is not None
        most = plan.recipe.export.max_drop
        why = None if lost <= most else f"it loses {lost:.4f} of {metric} on the validation rows, over {most}"
        excluded_nodes = len(candidate.excluded_nodes)
        return SearchTrial(
            score=score, drop=lost, bytes=size, p50_ms=p50_ms, excluded_nodes=excluded_nodes, reason=why
        ).model_dump()
