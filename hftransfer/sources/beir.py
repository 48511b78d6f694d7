"""Queries, documents and judgements in the folder of a BEIR data set (https://github.com/beir-cellar/beir).

`corpus.jsonl` (`_id`, `title`, `text`), `queries.jsonl` (`_id`, `text`) and `qrels/SPLIT.tsv` (query, document, score).
"""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from hftransfer.core.errors import DataError
from hftransfer.core.paths import is_file, is_folder
from hftransfer.sources import Source
from hftransfer.sources._split_names import SPLITS
from hftransfer.sources._text_files import read_lines

if TYPE_CHECKING:
    from datasets import Dataset


class Beir(Source):
    """Columns: `query`, `positive`; a row for each document with a score above 0. Other documents are not read."""

    local_files: ClassVar[tuple[str, ...]] = ("path",)

    path: str
    """The folder."""

    def load(self) -> dict[str, Dataset]:
        from datasets import Dataset

        root = Path(self.path).expanduser()
        files = sorted((root / "qrels").glob("*.tsv")) if is_folder(root) else []
        if not files:
            raise DataError(f"data.source.path: '{self.path}' has no judgements (qrels/train.tsv, qrels/test.tsv)")
        texts = {name: _texts(root / f"{name}.jsonl") for name in ("queries", "corpus")}
        return {SPLITS.get(file.stem, file.stem): Dataset.from_list(_rows(file, **texts)) for file in files}


def _texts(file: Path) -> dict[str, str]:
    """Id -> text, after its title if it has one.

    Raises:
        DataError: the file is missing, or a line is no text with an id.
    """
    if not is_file(file):
        raise DataError(f"data.source.path: there is no file '{file}'")
    texts = {}
    for number, line in enumerate(read_lines(str(file)), 1):
        try:
            row = json.loads(line)
            texts[str(row["_id"])] = f"{row.get('title') or ''} {row['text']}".strip()
        except KeyError as error:
            raise DataError(f"data.source.path: {file}, line {number} lacks the key {error} (_id, text)") from None
        except (ValueError, TypeError, AttributeError) as error:
            raise DataError(f"data.source.path: {file}, line {number} is no row of BEIR: {error}") from None
    return texts


def _rows(file: Path, queries: dict[str, str], corpus: dict[str, str]) -> list[dict[str, str]]:
    """The pairs that a file judges relevant.

    Raises:
        DataError: a line has other columns, or an id that has no text; or no pair is relevant.
    """
    rows = []
    lines = csv.reader(read_lines(str(file)), delimiter="\t", quoting=csv.QUOTE_NONE)
    for number, fields in enumerate(lines, 1):
        is_header = number == 1 and fields[-1:] == ["score"]
        if is_header or not fields:
            continue
        # Some have TREC's four columns, of which the second is always 0.
        if len(fields) not in (3, 4) or not fields[-1].lstrip("-").isdecimal():
            raise DataError(f"data.source.path: {file}, line {number} is not: query-id, corpus-id, score")
        query, document = fields[0], fields[-2]
        for name, known, key in (("queries", queries, query), ("corpus", corpus, document)):
            if key not in known:
                raise DataError(f"data.source.path: {file}, line {number}: {name}.jsonl has no id '{key}'")
        if int(fields[-1]) > 0:
            rows.append({"query": queries[query], "positive": corpus[document]})
    if not rows:
        raise DataError(f"data.source.path: {file} judges no document relevant")
    return rows
