"""The hooks about what a person gives a finished model, and what is shown of its answer besides `Task.respond`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from hftransfer.core.errors import DataError
from hftransfer.core.features import Feature
from hftransfer.tasks._state import TaskState
from hftransfer.tasks._types import Illustration, Outputs, Row, Side

Answer = Callable[[Row], dict[str, Any]]
"""What `Task.respond` says of a row."""


@dataclass(frozen=True)
class Lines(Feature):
    """Several texts, one a line; a page alone asks for them."""

    name: ClassVar[str] = "lines"
    each_line: ClassVar[str] = "one a line"

    def argument(self, value: str) -> str:
        """The texts with tabs between."""
        return "\t".join(line.strip().replace("\t", " ") for line in value.splitlines() if line.strip())


@dataclass(frozen=True)
class Choice(Feature):
    """One of some names; a page alone asks for it."""

    names: tuple[str, ...] = ()

    name: ClassVar[str] = "choice"


class AnswerHooks(TaskState):
    """What `predict` and `demo` ask for and show."""

    @property
    def asked(self) -> dict[str, Feature]:
        """What `parse` reads, in this order, with tabs between: role -> feature type; optional ones may be left out."""
        return {role: feature for role, feature in self.inputs.items() if not feature.optional}

    def parse(self, text: str) -> Row:
        """A row out of what somebody gives to `predict`: a file's path, or a text for each input, with tabs between.

        Raises:
            DataError: there are more or fewer texts than inputs.
        """
        roles, texts = [role for role, feature in self.inputs.items() if not feature.optional], text.split("\t")
        if len(roles) == 1:
            return {roles[0]: self.inputs[roles[0]].parse(text)}
        if len(texts) != len(roles):
            raise DataError(f"'{text[:40]}': write {' and '.join(roles)} as one argument, a tab between them")
        return {role: self.inputs[role].parse(part) for role, part in zip(roles, texts, strict=True)}

    def illustrate(self, row: Row, outputs: Outputs, side: Side) -> Illustration:
        """What shows the answer to one row better than words: boxes or masks on its image, tags at its words."""
        return Illustration()

    @property
    def compared(self) -> str:
        """The input of which several may be given to be ranked by `compare`; empty where answers are not compared."""
        return ""

    def compare(self, answer: Answer, given: str, others: Sequence[str]) -> list[dict[str, Any]]:
        """How alike an input and others are, as `parse` takes them: of each its `similarity`, and what follows."""
        return []
