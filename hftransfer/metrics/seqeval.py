"""F1 of entities, 0 to 1, of all types together (micro) and of each: an entity counts if its span and type are correct.

As CoNLL-2003 scores it, https://aclanthology.org/W03-0419; by seqeval, https://github.com/chakki-works/seqeval
"""

from typing import Any, ClassVar, Literal

import numpy as np

from hftransfer.metrics._additive import Additive, ratio


class Seqeval(Additive):
    """Predictions and references are lists of tags such as B-PER, one a word."""

    requires: ClassVar[dict[str, str]] = {"seqeval": "text"}
    details_of_classes: ClassVar[bool] = True

    scheme: Literal["chunks", "runs", "words"] = "chunks"
    """How tags make entities.

    `chunks`: B-PER and the like (IOB, BIOES, BILOU, BMES). `runs`: bare names, of which equal neighbours are one
    entity. `words`: a tag on every word (parts of speech), each an entity: the F1 of all is then the accuracy.
    """
    outside: str = "O"
    """The tag of words that belong to no entity."""

    def statistics(self, predictions: np.ndarray, references: np.ndarray) -> dict[str, np.ndarray]:
        """2 x correct and predicted + actual entities of each row."""
        predicted, actual = self._entities(predictions), self._entities(references)
        types = sorted({entity[0] for rows in (predicted, actual) for row in rows for entity in row})

        def counts(of_type: str | None = None) -> np.ndarray:
            pairs = [
                [{entity for entity in row if of_type in (None, entity[0])} for row in rows]
                for rows in (predicted, actual)
            ]
            return np.array([[2 * len(p & r), len(p) + len(r)] for p, r in zip(*pairs, strict=True)])

        return {self.name: counts()} | {f"{self.name}.{name}": counts(name) for name in types}

    def _entities(self, rows: np.ndarray) -> list[set[tuple[Any, ...]]]:
        """(type, first word, last word) of each row."""
        from seqeval.metrics.sequence_labeling import get_entities

        return [set(get_entities(self._spelled(tags))) for tags in rows]

    def _spelled(self, tags: list[str]) -> list[str]:
        """The tags as seqeval spells them."""
        prefix = {"runs": "I-", "words": "S-"}.get(self.scheme)
        if prefix:
            return ["O" if tag == self.outside else f"{prefix}{tag}" for tag in tags]
        synonyms = {"L": "E", "M": "I", "U": "S", "W": "S"}
        # Mark, hyphen or underscore, type.
        marks = [(tag[:1].upper(), tag[2:]) for tag in tags]
        spelled = ["-".join([synonyms.get(mark, mark), *([name] if name else [])]) for mark, name in marks]
        return ["O" if tag == self.outside else new for tag, new in zip(tags, spelled, strict=True)]

    def value(self, sums: np.ndarray) -> np.ndarray:
        return ratio(sums)

    @classmethod
    def tiny(cls) -> tuple[list[object], list[object]]:
        return [["B-X", "I-X", "O", "B-Y"]] * 2, [["B-X", "O", "O", "B-Y"], ["O", "O", "O", "O"]]
