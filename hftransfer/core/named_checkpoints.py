"""Checkpoints that a task needs beside its own, such as a vocoder, by the name that stands in a recipe."""

from __future__ import annotations

from hftransfer.core import plugins
from hftransfer.core.errors import ModelError
from hftransfer.core.paths import is_folder
from hftransfer.core.prefixes import SAMPLE


def sample_checkpoint(name: str) -> str:
    """The folder of a checkpoint that is a sample.

    Raises:
        ModelError: there is no such sample.
        MissingExtraError: a package of it is not installed.
    """
    known = plugins.names("samples")
    if name not in known:
        raise ModelError(f"there is no sample '{name}'; {plugins.nearest(name, known)}")
    sample = plugins.load("samples", name)()
    sample.check_installed()
    return str(sample.checkpoint())


def locate(key: str, place: str) -> tuple[str, str | None]:
    """Path or Hub id, and revision, of `sample:NAME`, a folder, `OWNER/NAME` or `OWNER/NAME@REVISION`.

    Raises:
        ModelError: there is no such sample or folder; the sentence begins with `key`.
    """
    if place.startswith(SAMPLE):
        try:
            return sample_checkpoint(place.removeprefix(SAMPLE)), None
        except ModelError as error:
            raise ModelError(f"{key}: {error}") from None
    if is_folder(place):
        return place, None
    repo, _, revision = place.partition("@")
    if place.startswith((".", "/", "~")) or repo.count("/") != 1:
        raise ModelError(f"{key}: '{place}' is no folder, no sample:NAME and no id of the Hub (OWNER/NAME@REVISION)")
    return repo, revision or None
