"""The hooks by which a task says how much of its rows the model gets to see, for the findings of a report."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hftransfer.tasks._state import TaskState

if TYPE_CHECKING:
    from datasets import Dataset

    from hftransfer.core.data_facts import InputFact


class FactHooks(TaskState):
    """What the model reads of a row. Each is called at the end of a run, with a sample of a split's rows."""

    def input_facts(self, rows: Dataset) -> dict[InputFact, np.ndarray]:
        """Fact -> a number for each row, shape (rows,); NaN where a row has none.

        Labels are as `index_labels` writes them.
        """
        return {}

    def token_counts(self, rows: Dataset) -> tuple[list[list[int]], int] | None:
        """The tokens of each row's whole text, and how many of them the model reads; None where rows are no texts."""
        return None
