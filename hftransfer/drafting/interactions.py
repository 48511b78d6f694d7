"""Tables of who liked what and when, by the names of their columns, and the table of the items beside them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hftransfer.core import plugins
from hftransfer.core.errors import DataError
from hftransfer.drafting.columns import Column, inspect
from hftransfer.drafting.role_names import likeness
from hftransfer.sources.interactions import READERS

# The share of the highest rating from which an item counts as liked: 4 of 5 stars.
_LIKED = 0.8
_NAMED = 0.6
# Words of a text beyond which it is no title of an item.
_REVIEW = 8


def propose(section: dict[str, Any], columns: Sequence[Column]) -> tuple[dict[str, Any], dict[str, Any] | None] | None:
    """The source `interactions` of a table, and `data.items`; None where it has no users, items and times."""
    table = section.get("train")
    if not isinstance(table, str) or Path(table).suffix.lower() not in READERS:
        return None
    if any(it.content == "text" and it.words > _REVIEW for it in columns):
        # Reviews say more than who wrote them.
        return None
    found = {role: _named(role, columns) for role in ("user", "item", "time", "rating")}
    user, item, time, rating = (found[role] for role in ("user", "item", "time", "rating"))
    if user is None or item is None or time is None or len({user.name, item.name, time.name}) < 3:
        return None
    source: dict[str, Any] = {"name": "interactions", "table": table}
    source |= {role: it.name for role, it in (("user", user), ("item", item), ("time", time)) if it.name != role}
    if rating is not None and rating.name != item.name:
        numbers = [float(cell) for cell in rating.values.get("train", ()) if _is_number(cell)]
        if numbers:
            source |= {"rating": rating.name, "liked_from": round(max(numbers) * _LIKED, 2)}
    return source, _items(Path(table), item)


def _named(role: str, columns: Sequence[Column]) -> Column | None:
    """The column whose name fits a role best."""
    fits = {"time": ("date", "number", "id", "class", "text"), "rating": ("number", "class")}
    usable = [it for it in columns if it.content in fits.get(role, ("class", "id", "text", "number"))]
    best = max(usable, key=lambda it: likeness(role, it.name), default=None)
    return best if best is not None and likeness(role, best.name) >= _NAMED else None


def _is_number(cell: Any) -> bool:
    return str(cell).replace(".", "", 1).lstrip("-").isdigit()


def _items(table: Path, item: Column) -> dict[str, Any] | None:
    """The table in the same folder that has a row for each item, and its texts."""
    wanted = {str(cell) for cell in item.values.get("train", ())}
    for file in sorted(table.parent.iterdir()):
        reader = READERS.get(file.suffix.lower())
        if reader is None or file == table:
            continue
        try:
            rows = plugins.load("sources", reader)(train=str(file)).load()["train"]
        except DataError:
            continue
        columns = inspect({"train": rows})
        values = {name: list(map(str, rows[name][:])) for name in rows.column_names}
        keys = [name for name, them in values.items() if wanted <= (ids := set(them)) and len(ids) == len(them)]
        texts = [it for it in columns if it.name not in keys[:1] and it.content in ("text", "class", "id") and it.words]
        named = [it for it in texts if likeness("text", it.name)] or [it for it in texts if it.content == "text"]
        if keys and named:
            source = {"name": reader, "train": str(file)}
            roles = {"id": keys[0], "text": [it.name for it in named] if len(named) > 1 else named[0].name}
            return {"source": source, "columns": {role: name for role, name in roles.items() if role != name}}
    return None
