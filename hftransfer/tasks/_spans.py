"""Answers as spans of a text: where they lie in tokens, and the best span of several windows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hftransfer.core.errors import DataError
from hftransfer.metrics._squad import is_exact
from hftransfer.tasks import Encoded, Outputs, Predictions, Rows, Side
from hftransfer.tasks._text import tokens_kept

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

Span = tuple[int, int]
"""First character of a token in the context, and the one after its last; (-1, -1) where it is not of the context."""


def _columns(answers: Any) -> dict[str, list[Any]]:
    """Answers as columns `text` and `answer_start`, also where they are written as a list of mappings."""
    if isinstance(answers, list):
        return {name: [answer[name] for answer in answers] for name in ("text", "answer_start")}
    return {"text": list(answers["text"]), "answer_start": list(answers["answer_start"])}


def texts(answers: Any) -> list[str]:
    """The true answers of a row; none where the question has no answer."""
    return [str(text) for text in _columns(answers)["text"]]


def fault(context: str, answers: Any) -> str | None:
    """Why the answers of a row cannot be used."""
    try:
        columns = _columns(answers)
        pairs = list(zip(columns["text"], columns["answer_start"], strict=True))
    except (KeyError, TypeError, ValueError):
        return f"the answers are {answers!r:.60}, not lists `text` and `answer_start` of one length"
    for text, start in pairs:
        found = context[start : start + len(text)] if isinstance(start, int) and isinstance(text, str) else None
        if not text or found != text:
            return f"the answer {text!r:.40} does not stand at character {start} of the context"
    return None


def windows(
    tokenizer: PreTrainedTokenizerBase, rows: Rows, max_length: int, stride: int
) -> tuple[dict[str, list[Any]], list[int], list[list[Span]]]:
    """Overlapping windows of questions and contexts: model inputs, the row of each window, the span of each token."""
    tokenized = tokenizer(
        rows["question"],
        rows["context"],
        truncation="only_second",
        stride=stride,
        max_length=tokens_kept(max_length, tokenizer),
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )
    row, offsets = tokenized.pop("overflow_to_sample_mapping"), tokenized.pop("offset_mapping")
    # Only the context's tokens keep their place in its text.
    spans = [
        [tuple(span) if part == 1 else (-1, -1) for span, part in zip(window, tokenized.sequence_ids(i), strict=True)]
        for i, window in enumerate(offsets)
    ]
    return dict(tokenized), list(row), spans


def check(rows: Dataset, tokenizer: PreTrainedTokenizerBase, max_length: int, stride: int) -> list[str]:
    """Refuse rows without any answer, and windows in which a question and the stride leave no room for a context.

    Raises:
        DataError: so it is.
    """
    if not any(texts(cell) for cell in rows["answers"]):
        raise DataError("no training row has an answer")
    length = tokens_kept(max_length, tokenizer)
    longest = max(len(ids) for ids in tokenizer(rows["question"][:], verbose=False)["input_ids"])
    # Special tokens take up to two more places.
    if longest + 2 + stride >= length:
        raise DataError(
            f"task.stride: {stride} and the longest question ({longest} tokens) leave no room in windows of {length} "
            "tokens: raise task.max_length or lower task.stride"
        )
    return []


def positions(answers: Sequence[Any], row: Sequence[int], spans: Sequence[Sequence[Span]]) -> dict[str, list[int]]:
    """First and last token of the answer in each window, as the model's loss takes them."""
    places = [tokens_of(answers[number], window) for number, window in zip(row, spans, strict=True)]
    return {"start_positions": [first for first, _ in places], "end_positions": [last for _, last in places]}


def tokens_of(answers: Any, spans: Sequence[Span]) -> tuple[int, int]:
    """First and last token of the first answer in a window; (0, 0), the token [CLS], where the window lacks it."""
    columns = _columns(answers)
    if not columns["text"]:
        return 0, 0
    start = columns["answer_start"][0]
    end = start + len(columns["text"][0])
    inside = [i for i, (first, last) in enumerate(spans) if first >= 0 and first < end and last > start]
    whole = inside and spans[inside[0]][0] <= start and spans[inside[-1]][1] >= end
    return (inside[0], inside[-1]) if whole else (0, 0)


def out_of_reach(encoded: Encoded, answered: np.ndarray, longest: int) -> np.ndarray:
    """Whether a row has an answer that no window holds whole, or one of more than `longest` tokens, shape (rows,)."""
    held = np.zeros(len(answered), dtype=bool)
    starts, ends = (encoded.inputs[name] for name in ("start_positions", "end_positions"))
    for row, first, last in zip(encoded.row or [], starts, ends, strict=True):
        held[row] |= 0 < first <= last < first + longest
    return answered & ~held


def best_answers(outputs: Outputs, side: Side, longest: int) -> tuple[list[str], np.ndarray]:
    """The best answer of each row, of all its windows, and by how much the logits for no answer exceed its own."""
    rows = [int(row) for row in side["row"]]
    answers = [""] * (max(rows) + 1)
    best = np.full(len(answers), -np.inf)
    none = np.full(len(answers), np.inf)
    for window, row in enumerate(rows):
        spans = np.asarray(side["spans"][window])
        start, end = (outputs[name][window][: len(spans)] for name in ("start_logits", "end_logits"))
        score, first, last = _best_span(start, end, spans[:, 0] >= 0, longest)
        none[row] = min(none[row], start[0] + end[0])
        if score > best[row]:
            best[row], answers[row] = score, side["context"][window][spans[first, 0] : spans[last, 1]]
    return answers, none - best


def _best_span(start: np.ndarray, end: np.ndarray, inside: np.ndarray, longest: int) -> tuple[float, int, int]:
    """The largest sum of a start and an end logit of at most `longest` tokens of the context, and its tokens."""
    start, end = np.where(inside, start, -np.inf), np.where(inside, end, -np.inf)
    best = (-np.inf, 0, 0)
    for length in range(min(longest, len(start))):
        scores = start[: len(start) - length] + end[length:]
        first = int(scores.argmax())
        best = max(best, (float(scores[first]), first, first + length), key=lambda found: found[0])
    return best


def fit_threshold(outputs: Outputs, side: Side, references: Predictions, longest: int) -> dict[str, float]:
    """The threshold on the gap of `best_answers` with the most exact matches; none where every row has an answer.

    Of equal ones it is the highest, which gives the most answers.
    """
    if all(references):
        return {}
    answers, gaps = best_answers(outputs, side, longest)
    right = np.array([is_exact(answer, true) for answer, true in zip(answers, references, strict=True)])
    unanswerable = np.array([not true for true in references])
    candidates = [*np.sort(gaps), np.finfo(float).max]
    matches = [(np.where(gaps > threshold, unanswerable, right).sum(), threshold) for threshold in candidates]
    return {"no_answer_threshold": float(max(matches)[1])}


def usage(max_length: int) -> tuple[str, str, str]:
    """How the card imports, opens and asks the model `repo`."""
    return (
        "from transformers import AutoModelForQuestionAnswering, AutoTokenizer",
        "tokenizer = AutoTokenizer.from_pretrained(repo)\nmodel = AutoModelForQuestionAnswering.from_pretrained(repo)",
        'question, context = "A question?", "A text."\n'
        f'inputs = tokenizer(question, context, truncation="only_second", max_length={max_length}, '
        'return_tensors="pt")\n'
        "outputs = model(**inputs)\n"
        "inside = [i for i, part in enumerate(inputs.sequence_ids(0)) if part == 1]\n"
        "start, end = (logits[0, inside] for logits in (outputs.start_logits, outputs.end_logits))\n"
        "scores = (start[:, None] + end[None]).triu()\n"
        'scores = scores.masked_fill(scores.triu() == 0, float("-inf"))\n'
        "first, last = (inside[i] for i in divmod(int(scores.argmax()), len(inside)))\n"
        "answer = context[inputs.token_to_chars(0, first).start : inputs.token_to_chars(0, last).end]",
    )
