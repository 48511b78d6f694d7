"""Lists of trials: the pairs of test rows that verification is scored on, in the place of all of them.

A line for each pair: 1 or 0, whether both are of one identity, and two files, as in the lists of VoxCeleb
(https://www.robots.ox.ac.uk/~vgg/data/voxceleb/vox1.html): `1 id10270/x6uYqmx31kE/00001.wav id10270/8jEAjG6SegY/8.wav`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from hftransfer.core.errors import DataError

_KEY = "task.trials"


@cache
def read(file: str) -> list[tuple[bool, str, str]]:
    """Whether the files of each pair are of one identity, and their names.

    Raises:
        DataError: the file is not there, or a line is no pair.
    """
    try:
        lines = Path(file).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{_KEY}: '{file}' cannot be read: {error}") from None
    pairs = []
    for number, line in enumerate(lines, 1):
        words = line.split()
        if len(words) != 3 or words[0] not in ("0", "1"):
            raise DataError(
                f"{_KEY}: line {number} of '{file}' is '{line:.60}'; write 1 or 0 and two files without spaces"
            )
        pairs.append((words[0] == "1", words[1], words[2]))
    return pairs


def file_name(cell: Any) -> str:
    """Where a recording or an image lies, empty where nothing says so."""
    path = cell.get("path") if isinstance(cell, dict) else cell
    return path.replace("\\", "/") if isinstance(path, str) else ""


def listed(file: str, names: Sequence[str]) -> np.ndarray:
    """Which pairs of rows of these files are in the list, in either order, shape (rows, rows); all, if none is."""
    places, pairs = _places(file, names), np.zeros((len(names), len(names)), dtype=bool)
    for _, first, second in read(file):
        if first in places and second in places:
            pairs[places[first], places[second]] = pairs[places[second], places[first]] = True
    return pairs if pairs.any() else ~pairs


def check(file: str, names: Sequence[str], identities: Sequence[Any]) -> None:
    """Refuse a list that does not fit the test rows.

    Raises:
        DataError: a file of the list is that of no row, or a line says otherwise than the identities of its rows.
    """
    places = _places(file, names)
    for number, (same, *pair) in enumerate(read(file), 1):
        for name in pair:
            if name not in places:
                raise DataError(
                    f"{_KEY}: line {number} of '{file}' names '{name:.80}', which is the file of no test row"
                )
        if same != (identities[places[pair[0]]] == identities[places[pair[1]]]):
            said = "one identity" if same else "two identities"
            raise DataError(
                f"{_KEY}: line {number} of '{file}' says that its files are of {said}, and the rows otherwise"
            )


def _places(file: str, names: Sequence[str]) -> dict[str, int]:
    """The row of each name of the list, which is the end of the row's own."""
    wanted = {name for _, *pair in read(file) for name in pair}
    places: dict[str, int] = {}
    for row, name in enumerate(names):
        parts = PurePosixPath(name).parts
        for start in range(len(parts)):
            if (end := "/".join(parts[start:])) in wanted:
                places[end] = row
    return places
