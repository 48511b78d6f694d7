"""Questions and answers in the JSON files of SQuAD 1.1 and 2.0 (https://rajpurkar.github.io/SQuAD-explorer/)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hftransfer.core.errors import DataError
from hftransfer.sources import Files

if TYPE_CHECKING:
    from datasets import Dataset


class Squad(Files):
    """Columns: `question`, `context`, `answers` (`text`, `answer_start`, both empty where there is no answer)."""

    def load(self) -> dict[str, Dataset]:
        from datasets import Dataset, Features, List, Value

        answers = {"text": List(Value("string")), "answer_start": List(Value("int64"))}
        features = Features({"question": Value("string"), "context": Value("string"), "answers": answers})
        return {
            split: Dataset.from_list([row for file in files for row in _rows(Path(file))], features=features)
            for split, files in self._paths().items()
        }


def _rows(file: Path) -> Iterator[dict[str, Any]]:
    """The questions of a file.

    Raises:
        DataError: it is not SQuAD's nesting of `data`, `paragraphs`, `qas`, `answers`.
    """
    try:
        for article in json.loads(file.read_text(encoding="utf-8-sig"))["data"]:
            for paragraph in article["paragraphs"]:
                for question in paragraph["qas"]:
                    answers = [] if question.get("is_impossible") else question["answers"]
                    columns = {name: [answer[name] for answer in answers] for name in ("text", "answer_start")}
                    yield {"question": question["question"], "context": paragraph["context"], "answers": columns}
    except KeyError as error:
        raise DataError(f"data.source: {file} lacks SQuAD's key {error} (data, paragraphs, qas)") from None
    except (ValueError, TypeError) as error:
        raise DataError(f"data.source: {file} is no JSON file of SQuAD: {error}") from None
