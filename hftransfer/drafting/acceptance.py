"""The first of some recipes that `check` accepts: other checkpoints, strategies and fields are tried in turn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from hftransfer.core import plugins
from hftransfer.core.errors import DataError, HFTransferError, HubError, MissingExtraError, RecipeError, SampleError
from hftransfer.drafting.draft import Draft, strategies
from hftransfer.drafting.roles import Candidate
from hftransfer.recipe.loader import parse_recipe
from hftransfer.runner import plan as planning

if TYPE_CHECKING:
    from hftransfer.runner.plan import Plan

# The share of rows that a proposed recipe may leave out.
_SKIPPED = 0.9


def suggested(candidate: Candidate) -> list[str]:
    """The checkpoints of a task to begin with.

    Raises:
        RecipeError: it suggests none.
    """
    checkpoints = plugins.load("tasks", candidate.task).suggested_checkpoints
    role = next((role for role in candidate.columns if role in checkpoints), None)
    if role is None:
        raise RecipeError(f"--model: the task '{candidate.task}' suggests no checkpoint; name one")
    return list(checkpoints[role])


def first_accepted(drafts: Sequence[Draft], checkpoints: Sequence[str] | None) -> tuple[Draft, Plan | None, list[str]]:
    """The first recipe that `check` accepts, its plan, and in a sentence each what another one lacked.

    Where nothing but the Hub is in the way, a recipe comes without a plan.

    Args:
        drafts: Without checkpoint and strategy, the likeliest task first.
        checkpoints: None for those that the task suggests.

    Raises:
        HFTransferError: `check` accepts none; the sentence is about the first one.
    """
    refused: list[HFTransferError] = []
    findings: list[str] = []
    for draft in drafts:
        try:
            accepted, plan, unreached = _with_checkpoint(draft, checkpoints or suggested(draft.candidate))
        except MissingExtraError:
            raise
        except HFTransferError as error:
            refused.append(error)
            findings.append(f"{draft.candidate.task} is refused: {error}")
        else:
            return accepted, plan, [*findings, *unreached]
    raise refused[0]


def _with_checkpoint(draft: Draft, names: Sequence[str]) -> tuple[Draft, Plan | None, list[str]]:
    """The recipe with the first checkpoint that `check` accepts; without a plan where none can be reached."""
    failed: HFTransferError | None = None
    unreached: list[tuple[str, str]] = []
    for name in names:
        try:
            accepted, plan = _accepted(replace(draft, checkpoint=name))
        except (HubError, SampleError) as error:
            unreached.append((name, str(error)))
        except MissingExtraError:
            raise
        except HFTransferError as error:
            failed = failed or error
        else:
            lost = [f"the checkpoint {it} could not be reached, {name} takes its place" for it, _ in unreached]
            return accepted, plan, lost
    if failed is not None:
        raise failed
    return next(_variants(replace(draft, checkpoint=names[0]))), None, [f"the recipe is not checked: {unreached[0][1]}"]


def _accepted(draft: Draft) -> tuple[Draft, Plan]:
    """The first variant of a recipe that `check` accepts.

    Raises:
        HubError, SampleError: the checkpoint cannot be reached.
        HFTransferError: none is accepted; the sentence is about the first one.
    """
    failed: HFTransferError | None = None
    for variant in _variants(draft):
        try:
            return _check_with_export(variant)
        except (DataError, HubError, SampleError, MissingExtraError):
            # No other strategy helps.
            raise
        except HFTransferError as error:
            failed = failed or error
    assert failed is not None
    raise failed


def _check_with_export(draft: Draft) -> tuple[Draft, Plan]:
    """A recipe with its plan, without an export where that alone lacks a package."""
    try:
        return _check(draft)
    except MissingExtraError:
        if not draft.exports:
            raise
        return _check(replace(draft, exports=False, lacks_optimum=True))


def _check(draft: Draft) -> tuple[Draft, Plan]:
    """A recipe with its plan; where some rows cannot be used, one that leaves them out."""
    try:
        return draft, _plan(draft)
    except DataError as error:
        skipping = replace(draft, on_error=str(error))
        try:
            plan = _plan(skipping)
        except DataError:
            raise error from None
        skipped, rows = left_out(plan)
        if skipped > _SKIPPED * rows:
            raise
        return skipping, plan


def left_out(plan: Plan) -> tuple[int, int]:
    """How many rows cannot be used, and of how many."""
    skipped = sum(plan.rows.facts.skipped.values())
    return skipped, skipped + sum(plan.rows.facts.rows.values())


def _plan(draft: Draft) -> Plan:
    return planning.check(parse_recipe(draft.text, str(draft.path)), sample=True)


def _variants(draft: Draft) -> Iterator[Draft]:
    """The recipe with the strategies that suit the rows, without what not every checkpoint takes, without an export."""
    names = strategies(draft.survey, draft.candidate)
    fields = draft.suggested_fields
    for strategy in names:
        yield replace(draft, strategy=strategy, fields=fields)
    if fields:
        yield replace(draft, strategy=names[0])
    yield replace(draft, strategy=names[0], exports=False)
