"""`hftransfer new`: from a path to a recipe that `check` accepts, with at most three questions on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from os import PathLike, fspath
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any, NamedTuple

from hftransfer.core import plugins
from hftransfer.core.errors import RecipeError
from hftransfer.core.features import Text
from hftransfer.core.files import write_text
from hftransfer.drafting.acceptance import first_accepted, left_out, suggested
from hftransfer.drafting.columns import Column
from hftransfer.drafting.draft import Draft, candidate_target, problems, refuse_lost_files, summary
from hftransfer.drafting.proposal import Survey, file_name, survey
from hftransfer.drafting.roles import Candidate
from hftransfer.drafting.unread import unread

if TYPE_CHECKING:
    from hftransfer.runner.plan import Plan

# Tasks, columns and checkpoints that a question offers.
_OFFERED = 5


class Question(NamedTuple):
    """A question with its answers, the default first; with `free`, any other answer is taken too."""

    text: str
    answers: list[str]
    free: bool = False


Ask = Callable[[Question], str]
"""Gives one of the answers to a question, or another if it is free."""


@dataclass(frozen=True)
class Proposal:
    """A recipe that was written, and what it was made of."""

    path: Path
    """The recipe."""
    survey: Survey
    task: str
    columns: dict[str, str | list[str]]
    """Role -> column of the source, of all roles."""
    checkpoint: str
    plan: Plan | None
    """What would run; None where the Hub could not be reached to check it."""
    findings: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """What was found, in a few lines, and the next command."""
        survey = self.survey
        counts = ", ".join(f"{count:,} {split}" for split, count in survey.rows.items())
        others = [it.task for it in survey.close if it.task != self.task]
        roles = ", ".join(f"{role} = {_shown(name)}" for role, name in self.columns.items())
        return "\n".join(
            [
                f"data        {survey.data}, read by the source {survey.source['name']}: {counts} rows",
                f"columns     {summary(survey.columns)}",
                f"roles       {roles}",
                *([f"or          {', '.join(others)}: --task NAME"] if others else []),
                *([str(self.plan)] if self.plan else [f"task        {self.task}"]),
                *(f"problem     {line}" for line in self.findings),
                f"recipe      {self.path}",
                f"next        hftransfer run {quote(str(self.path))}",
            ]
        )

    def record(self) -> dict[str, Any]:
        """The same as a mapping."""
        return {
            "recipe": str(self.path),
            "task": self.task,
            "source": self.survey.source,
            "rows": self.survey.rows,
            "columns": self.columns,
            "contents": {it.name: it.description for it in self.survey.columns},
            "checkpoint": self.checkpoint,
            "other_tasks": [it.task for it in self.survey.close if it.task != self.task],
            "checked": self.plan is not None,
            "findings": self.findings,
        }


def _shown(name: str | list[str]) -> str:
    return name if isinstance(name, str) else " + ".join(name)


def new(
    data: str | PathLike[str],
    out: str | PathLike[str] = ".",
    *,
    task: str | None = None,
    model: str | None = None,
    ask: Ask | None = None,
) -> Proposal:
    """Look at data, and write a recipe for them that `check` accepts; `str()` of what is returned says what was found.

    Args:
        data: a table, a folder, `sample:NAME`, or a data set of the Hub: `user/name`, `user/name:config`.
        out: directory of the recipe, which is called after the data.
        task: the task, if it is not to be found.
        model: the checkpoint; left out, a small one that suits the task.
        ask: gives the answer to each of at most three questions; None: nothing is asked.

    Raises:
        RecipeError: there is such a recipe already, `out` is a file, nothing of the name, or no task for its columns.
        DataError, ModelError: the data or the checkpoint cannot be used, in the sentence of `check`.
    """
    name = fspath(data)
    folder = Path(out)
    path = folder / f"{file_name(name)}.yaml"
    refuse_file(folder, path.name)
    if path.exists():
        raise RecipeError(f"'{path}' exists; name another folder, or remove it")
    found = survey(name, task)
    candidates = [found.close[0]] if task else _chosen_task(found, ask)
    candidate = _chosen_column(candidates[0], ask)
    refuse_lost_files(found, candidate)
    checkpoint = model or _chosen_checkpoint(candidate, ask)
    drafts = [Draft(found, candidate, "", "", path), *(Draft(found, it, "", "", path) for it in candidates[1:])]
    draft, plan, findings = first_accepted(drafts, [checkpoint] if checkpoint else None)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(path, draft.text)
    columns = {role: list(it.parts) or it.name for role, it in draft.candidate.columns.items()}
    findings = [
        *_left_out(draft, plan),
        *problems(found, draft.candidate),
        *unread(found),
        *([] if plan else found.warnings),
        *findings,
    ]
    return Proposal(path, found, draft.candidate.task, columns, draft.checkpoint, plan, findings)


def refuse_file(folder: Path, written: str) -> None:
    """Refuse the name of a file for the folder in which something is written.

    Raises:
        RecipeError: it is one, or ends in .yaml.
    """
    if not folder.is_dir() and (folder.is_file() or folder.suffix.lower() in (".yaml", ".yml")):
        raise RecipeError(f"'{folder}' names a file; the second argument is a folder, in which {written} is written")


def _left_out(draft: Draft, plan: Plan | None) -> list[str]:
    """How many rows the recipe leaves out, and why the first one."""
    if not draft.on_error or plan is None:
        return []
    skipped, rows = left_out(plan)
    reason = draft.on_error.partition("cannot be used, ")[2].partition(" (data.")[0] or draft.on_error
    return [f"{skipped} of {rows} rows cannot be used and are left out (data.on_error: skip), {reason}"]


def _chosen_task(found: Survey, ask: Ask | None) -> list[Candidate]:
    """The tasks that fit about as well as each other, the chosen one first."""
    close = found.close[:_OFFERED]
    if ask is None or len(close) < 2:
        return close
    answers = {f"{it.task} ({', '.join(f'{role}: {c.name}' for role, c in it.columns.items())})": it for it in close}
    # Somebody who is asked has chosen, and gets no other task.
    return [answers[ask(Question("Which task?", list(answers)))]]


def _chosen_column(candidate: Candidate, ask: Ask | None) -> Candidate:
    """The task with the column of its target, or of its text where it has none, as somebody wants it."""
    task = plugins.load("tasks", candidate.task)
    roles = [candidate_target(candidate), *(role for role, feature in task.inputs.items() if isinstance(feature, Text))]
    role = next((it for it in roles if it in candidate.columns and candidate.alternatives.get(it)), None)
    if ask is None or role is None:
        return candidate
    options = [candidate.columns[role], *candidate.alternatives[role]][:_OFFERED]
    answers = {f"{it.name} ({it.description})": it for it in options}
    column = answers[ask(Question(f"Which column is the {role}?", list(answers)))]
    return replace(candidate, columns=_swapped(candidate.columns, role, column))


def _swapped(columns: dict[str, Column], role: str, column: Column) -> dict[str, Column]:
    """The roles with another column for one; a role that has it gets the one that is free now."""
    previous = columns[role]
    changed = {other: previous if it == column and other != role else it for other, it in columns.items()}
    return changed | {role: column}


def _chosen_checkpoint(candidate: Candidate, ask: Ask | None) -> str | None:
    """The checkpoint that somebody wants; None for the first one that can be reached."""
    offered = suggested(candidate)
    if ask is None:
        return None
    answer = ask(Question("Which checkpoint? A Hub id, a directory or sample:NAME", offered, free=True))
    return None if answer == offered[0] else answer
