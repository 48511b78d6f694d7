"""Interactions of users with items as sequences in time: the item liked last is asked for, all before it is given.

Leave-one-out by time, as in Kang and McAuley 2018 (SASRec, https://arxiv.org/abs/1808.09781, section IV.A). As there,
what other users did after that time is trained on.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

HELD_OUT = 2
"""Liked items of each user that are held out: the last for test, the one before for validation."""


@dataclass(frozen=True)
class Event:
    """One user has met one item."""

    item: str
    time: float
    """Seconds since 1970, or any other number that rises with time."""
    liked: bool


def histories(users: Iterable[str], events: Iterable[Event]) -> dict[str, list[Event]]:
    """User -> what the user has met, in time order; events of one time stay in the order of the table.

    An item counts once, when it was met first.
    """
    by_user: dict[str, dict[str, Event]] = {}
    # `sorted` is stable.
    for user, event in sorted(zip(users, events, strict=True), key=lambda pair: pair[1].time):
        by_user.setdefault(user, {}).setdefault(event.item, event)
    return {user: list(met.values()) for user, met in by_user.items()}


def leave_last_out(met: list[Event], user: str) -> dict[str, dict[str, Any]]:
    """Split -> the row of a user, whose liked items are three or more.

    `item` is asked for, `history` are the items liked before it, and `seen` those met before it and not liked. The
    training row ends before the item of validation, and that before the item of test.
    """
    places = [place for place, event in enumerate(met) if event.liked]
    rows = {}
    for split, place in zip(("test", "validation", "train"), reversed(places), strict=False):
        before = met[:place]
        rows[split] = {
            "user": user,
            "history": [event.item for event in before if event.liked],
            "item": met[place].item,
            "seen": [event.item for event in before if not event.liked],
        }
    return rows


def tied(met: list[Event]) -> bool:
    """Whether the item of test has the time of another liked item before it, so that the table's order decides."""
    times = [event.time for event in met if event.liked]
    return times[-1] == times[-2]
