"""Collections of the fake Hub; see huggingface_hub's `hf_api.py` (`create_collection`, `add_collection_item`, ...).

As on the real one an owner has one collection of a title, an item stands once in a collection, new items come last, and
an item that gets a position moves there. Collections live in memory, in `Hub.collections`.
"""

import json
import re
import uuid
from dataclasses import dataclass, field
from typing import Any

from loopback import ROUTES, Handler, Refusal

Answer = tuple[int, Any, dict[str, str]]
_KINDS = {"model": "models", "dataset": "datasets", "space": "spaces"}


@dataclass
class LocalCollection:
    """A collection; `items` are in their order, each as the Hub describes it, but for the position."""

    slug: str
    owner: str
    title: str
    description: str
    private: bool
    items: list[dict[str, Any]] = field(default_factory=list)

    def info(self) -> dict[str, Any]:
        """As the Hub describes it."""
        items = [item | {"position": position} for position, item in enumerate(self.items)]
        known = {"slug": self.slug, "title": self.title, "description": self.description, "owner": self.owner}
        state = {"private": self.private, "theme": "green", "upvotes": 0, "position": 0, "isUpvotedByUser": False}
        return known | state | {"lastUpdated": "2026-01-01T00:00:00.000Z", "items": items}


def _collections(handler: Handler) -> dict[str, LocalCollection]:
    return handler.server_hub.__dict__.setdefault("collections", {})


def _text(value: Any, most: int, name: str) -> str:
    if not isinstance(value, str) or len(value) > most:
        raise Refusal(400, "", f'Invalid input: "{name}" must have at most {most} characters')
    return value


def _create(handler: Handler) -> Answer:
    wanted, user = json.loads(handler.body), handler.user()
    if user is None:
        raise Refusal(401, "", "Invalid username or password.")
    if wanted["namespace"] != user[0] or user[1] != "write":
        raise Refusal(403, "", f"You don't have the rights to create a collection under '{wanted['namespace']}'")
    title, owner = _text(wanted["title"], 60, "title"), user[0]
    for there in _collections(handler).values():
        if (there.owner, there.title) == (owner, title):
            return 409, {"error": "A collection with this title exists", "slug": there.slug}, {}
    name = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
    slug = f"{owner}/{name}-{uuid.uuid4().hex[:24]}"
    made = LocalCollection(slug, owner, title, _text(wanted.get("description", ""), 150, "description"), False)
    made.private = bool(wanted.get("private"))
    _collections(handler)[slug] = made
    return 200, made.info(), {}


def _collection(handler: Handler, slug: str, write: bool = False) -> LocalCollection:
    user, found = handler.user(), _collections(handler).get(slug)
    owned = found is not None and user is not None and user[0] == found.owner
    if found is None or (found.private and not owned):
        raise Refusal(404, "", "Collection not found")
    if write and not (owned and user and user[1] == "write"):
        raise Refusal(403, "", "You don't have the rights to change this collection")
    return found


def _get(handler: Handler, slug: str) -> Answer:
    return 200, _collection(handler, slug).info(), {}


def _note(wanted: dict[str, Any]) -> dict[str, Any]:
    text = _text(wanted["note"], 500, "note")
    return {"note": {"html": text, "text": text}}


def _add(handler: Handler, slug: str) -> Answer:
    wanted, collection = json.loads(handler.body), _collection(handler, slug, write=True)
    repo, kind = wanted["item"]["id"], wanted["item"]["type"]
    there = handler.repo(_KINDS[kind], repo)
    if any((item["id"], item["type"]) == (repo, kind) for item in collection.items):
        return 409, {"error": "The item is already in the collection"}, {}
    item = {"_id": uuid.uuid4().hex[:24], "type": kind, "id": repo, "repoType": kind, "private": there.private}
    collection.items.append(item | (_note(wanted) if "note" in wanted else {}))
    return 200, collection.info(), {}


def _change(handler: Handler, slug: str, identity: str) -> Answer:
    wanted, collection = json.loads(handler.body), _collection(handler, slug, write=True)
    places = [place for place, item in enumerate(collection.items) if item["_id"] == identity]
    if not places:
        raise Refusal(404, "", "Item not found")
    item = collection.items.pop(places[0])
    item |= _note(wanted) if "note" in wanted else {}
    collection.items.insert(wanted.get("position", places[0]), item)
    return 200, {"success": True}, {}


_SLUG = r"/api/collections/([^/]+/[^/]+)"
ROUTES[:0] = [
    ("POST", r"/api/collections", _create),
    ("GET", _SLUG, _get),
    ("POST", rf"{_SLUG}/items", _add),
    ("PATCH", rf"{_SLUG}/items/([^/]+)", _change),
]
