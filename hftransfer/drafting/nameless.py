"""Files whose endings say nothing of a table, and what makes one of them: parallel texts, tables without names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from shlex import quote

from hftransfer.drafting.heads import head
from hftransfer.drafting.role_names import LANGUAGES

# Between the cells of such tables.
_SIGNS = ("::", "\t", ";", "|", ",")
_LINES = 50


def advice(files: Sequence[Path]) -> str | None:
    """The sentence for some files of one folder, the likeliest first; None where they are something else."""
    return _of_translations(files) or next(filter(None, map(_of_table, files[:1])), None)


def _of_translations(files: Sequence[Path]) -> str | None:
    """The two sides of a translation, a sentence a line: train.en and train.de."""
    sides = [file for file in files if file.suffix[1:].lower() in LANGUAGES]
    for first in sides[:1]:
        for second in (it for it in sides if it.stem == first.stem and it != first):
            names = "\\t".join(file.suffix[1:] for file in (first, second))
            table = first.with_name(f"{first.stem}.tsv")
            made = f"(printf '{names}\\n'; paste {quote(str(first))} {quote(str(second))}) > {quote(str(table))}"
            return f"'{first}' and '{second}' are the two sides of a translation; one table of both is read: `{made}`"
    return None


def _of_table(file: Path) -> str | None:
    """A table without names, as ratings of MovieLens: u.data, ratings.dat."""
    text = head(file)
    lines = [line for line in text.splitlines()[:_LINES] if line.strip() and "\0" not in text]
    for sign in _SIGNS if len(lines) > 1 else ():
        table = [line.split(sign) for line in lines]
        if len(table[0]) < 2 or len({len(row) for row in table}) > 1:
            continue
        spelled, made = "\\t" if sign == "\t" else sign, quote(str(file.with_suffix(".csv")))
        command = f": `(echo 'user,item,rating,time'; sed 's/{spelled}/,/g' {quote(str(file))}) > {made}`"
        return (
            f"'{file}' is a table with {sign!r} between its cells, and its ending does not say so; save it as .csv, "
            f"with a first line that names the columns{command if _are_ratings(table) else ''}"
        )
    return None


def _are_ratings(table: Sequence[Sequence[str]]) -> bool:
    """Whether rows are a user, an item, a rating and a time in seconds since 1970."""
    return all(len(row) == 4 and all(it.replace(".", "", 1).isdigit() for it in row) for row in table) and all(
        len(row[3].strip()) >= 9 for row in table
    )
