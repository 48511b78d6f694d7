"""Times of a column as numbers: seconds or milliseconds since 1970, ISO 8601, and dates as people write them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from hftransfer.core.errors import DataError

_ALLOWED = "a number nor a date such as 2026-05-31 12:00, 31/05/2026 or 31 May 2026"
_DAY = re.compile(r"(\d{1,2})([-/.])(\d{1,2})\2(\d{4})(?:[ T,]+(.+))?")
_YEAR_FIRST = re.compile(r"(\d{4})[/.](\d{1,2})[/.](\d{1,2})(.*)")
_CLOCKS = ("%H:%M", "%H:%M:%S", "%H:%M:%S.%f", "%I:%M %p", "%I:%M:%S %p")
_WORDED = ("%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%d-%b-%Y", "%b %d %Y")
# A number above the first is of milliseconds since 1970, one above the second of seconds: of the years from 1973 on.
_MILLISECONDS, _SECONDS = 1e11, 1e8


def times(values: Sequence[Any], day_first: bool | None) -> tuple[list[float], str]:
    """The times of a column as numbers that rise with them, and a sentence where a guess was made.

    Args:
        values: of one notation.
        day_first: whether 01/05/2026 is the first of May; None: found by days above 12.

    Raises:
        DataError: a cell is no time, or two have different notations.
    """
    numbers = [_number(cell) for cell in values]
    lacking = [row for row, number in enumerate(numbers) if math.isnan(number)]
    if not lacking:
        _refuse_two_units(values, numbers)
        return numbers, ""
    if len(lacking) < len(values):
        row = next(row for row, number in enumerate(numbers) if not math.isnan(number))
        if not math.isnan(_date(values[lacking[0]], day_first=True)):
            raise DataError(
                f"data.source.time: row {row} has the number '{values[row]}', and row {lacking[0]} the date "
                f"'{values[lacking[0]]}': write all in one way"
            )
    guess = ""
    if day_first is None:
        day_first, guess = _order(values)
    dates = [_date(cell, day_first) for cell in values]
    for row, date in enumerate(dates):
        if math.isnan(date):
            raise DataError(f"data.source.time: row {row} has '{values[row]}', which is neither {_ALLOWED}")
    return dates, guess


def _number(cell: Any) -> float:
    try:
        number = float(cell)
    except (TypeError, ValueError):
        return math.nan
    return number if math.isfinite(number) else math.nan


def _refuse_two_units(values: Sequence[Any], numbers: Sequence[float]) -> None:
    large = next((row for row, number in enumerate(numbers) if number > _MILLISECONDS), None)
    small = next((row for row, number in enumerate(numbers) if _SECONDS < number <= _MILLISECONDS), None)
    if large is not None and small is not None:
        raise DataError(
            f"data.source.time: row {small} has '{values[small]}', which is in seconds since 1970, and row {large} "
            f"'{values[large]}', in milliseconds: write all in one unit"
        )


def _order(values: Sequence[Any]) -> tuple[bool, str]:
    """Whether the day stands before the month, and a sentence where no day above 12 says so."""
    found = [match for cell in values if (match := _DAY.fullmatch(str(cell).strip()))]
    first, second = (next((it for it in found if int(it[place]) > 12), None) for place in (1, 3))
    if first and second:
        raise DataError(
            f"data.source.time: '{first[0]}' has the day before the month, and '{second[0]}' after it: write all in "
            "one way, best as 2026-05-31"
        )
    if not found or first or second or found[0][2] == ".":
        return not second, ""
    return True, (
        f"data.source.time: nothing says whether the day or the month stands first in dates such as '{found[0][0]}'; "
        "the day is taken to be first (data.source.day_first: false for the month)"
    )


def _date(cell: Any, day_first: bool) -> float:
    """Seconds since 1970, of a date without a zone in UTC; NaN where it is none."""
    date = cell if isinstance(cell, datetime) else _read(str(cell).strip(), day_first)
    if date is None:
        return math.nan
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()


def _read(text: str, day_first: bool) -> datetime | None:
    if match := _DAY.fullmatch(text):
        one, _, other, year, clock = match.groups()
        text = "-".join([year, *(part.zfill(2) for part in ((other, one) if day_first else (one, other)))])
        return _with_clock(text, clock, ("%Y-%m-%d",))
    if match := _YEAR_FIRST.fullmatch(text):
        text = f"{match[1]}-{match[2]:>02}-{match[3]:>02}{match[4]}"
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        date, _, clock = text.partition(":")
        date, _, hour = date.rpartition(" ") if clock else (text, "", "")
        return _with_clock(date, f"{hour}:{clock}" if clock else None, _WORDED)


def _with_clock(date: str, clock: str | None, formats: Sequence[str]) -> datetime | None:
    """A date and the time of the day in the first of the notations that fits; None where none does."""
    for format in formats:
        for end in _CLOCKS if clock else ("",):
            try:
                return datetime.strptime(f"{date} {clock or ''}".strip(), f"{format} {end}".strip())
            except ValueError:
                continue
    return None
