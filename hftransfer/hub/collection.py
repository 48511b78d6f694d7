"""A collection of the Hub: models on one page, in an order, each with a note.

https://huggingface.co/docs/huggingface_hub/guides/collections
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hftransfer.core.errors import HubError
from hftransfer.hub.client import hub_errors, network_errors

if TYPE_CHECKING:
    from huggingface_hub import Collection, HfApi

MAX_NOTE = 500
"""Characters that the Hub takes as a note."""
MAX_DESCRIPTION = 150


@dataclass(frozen=True)
class Item:
    """A model of a collection."""

    repo: str
    note: str


def publish_collection(title: str, namespace: str, items: Sequence[Item], *, description: str, private: bool) -> str:
    """Make a collection, or go on with the one of this title: its items in their order, with their notes.

    What somebody else has put there stays, after them.

    Args:
        title: by which the owner's collection is found again.
        namespace: user or organization.
        items: models that are on the Hub.
        description: of a new collection, at most `MAX_DESCRIPTION` characters.
        private: whether a new collection is visible to its owner alone; an existing public one is refused.

    Returns:
        Its address.

    Raises:
        HubError: the Hub cannot be reached or refuses, or the collection is public and should not be.
    """
    from huggingface_hub import HfApi

    api = HfApi()
    try:
        with hub_errors("collection", title):
            collection = api.create_collection(
                title, namespace=namespace, description=description, private=private, exists_ok=True
            )
            if private and not collection.private:
                raise HubError(
                    f"the collection '{title}' exists and is public, so the names of private models and their scores "
                    "would be, too; make it private, or give another title"
                )
            _order(api, _fill(api, collection, items), [item.repo for item in items])
            return str(collection.url)
    except network_errors():
        raise HubError(
            f"the connection to the Hub was cut while the collection '{title}' was made; the same command goes on"
        ) from None


def _fill(api: HfApi, collection: Collection, items: Sequence[Item]) -> Collection:
    """Add the items that are missing, at the end, and renew the notes of the others."""
    present = {item.item_id: item for item in collection.items if item.item_type == "model"}
    for item in items:
        if item.repo not in present:
            collection = api.add_collection_item(collection.slug, item.repo, "model", note=item.note, exists_ok=True)
        elif present[item.repo].note != item.note:
            api.update_collection_item(collection.slug, present[item.repo].item_object_id, note=item.note)
    return collection


def _order(api: HfApi, collection: Collection, repos: Sequence[str]) -> None:
    """Bring the models into their order, before all other items, unless they are in it."""
    models = [item for item in collection.items if item.item_type == "model" and item.item_id in repos]
    models.sort(key=lambda item: item.position)
    identities = {item.item_id: item.item_object_id for item in models}
    wanted = [repo for repo in repos if repo in identities]
    if list(identities) == wanted:
        return
    for position, repo in enumerate(wanted):
        api.update_collection_item(collection.slug, identities[repo], position=position)
