"""The checkpoints that are compared: where they are, how large, under which licence, and the hash of what they hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from hftransfer.core import plugins
from hftransfer.core.errors import RecipeError
from hftransfer.core.paths import is_file
from hftransfer.core.prefixes import SAMPLE
from hftransfer.core.results import RunResult
from hftransfer.hub.client import hub_cards
from hftransfer.models.checkpoint import Checkpoint, find_checkpoint
from hftransfer.recipe.schema import Model
from hftransfer.runner.resuming import content_of


@dataclass(frozen=True)
class Candidate:
    """One checkpoint."""

    name: str
    """As it was given."""
    checkpoint: Checkpoint
    content: str
    """Equal for equal files: as `content_of` has it."""

    def bytes(self) -> int:
        """Size of the weights of a local folder, or of the cache of a Hub id; 0 where nothing is there yet."""
        return sum(file.stat().st_size for file in _folder(self.checkpoint).glob("*.safetensors"))


def candidates(names: Sequence[str], model: Model) -> list[Candidate]:
    """Find the checkpoints; that of the recipe's section `model` at its revision.

    Raises:
        RecipeError: there are fewer than two, or one is there twice.
        ModelError, HubError: there is no such checkpoint.
    """
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise RecipeError(f"--checkpoints: '{twice[0]}' is there twice")
    if len(names) < 2:
        raise RecipeError(f"--checkpoints: at least two are compared, got {', '.join(names) or 'none'}")
    own = (model.revision, model.trust_remote_code)
    found = [(name, find_checkpoint(name, *(own if name == model.id else ()))) for name in names]
    return [Candidate(name, checkpoint, content_of(checkpoint)) for name, checkpoint in found]


def names_in_file(file: Path) -> list[str]:
    """The checkpoints of a text file, one a line; empty lines and what follows a `#` are left out.

    Raises:
        RecipeError: the file is not there, or no text.
    """
    if not is_file(file):
        raise RecipeError(f"--from: there is no file '{file}' with a checkpoint in each line")
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except ValueError:
        raise RecipeError(f"--from: '{file}' is not a text file in UTF-8, with a checkpoint in each line") from None
    return [name for line in lines if (name := line.partition("#")[0].strip())]


def licence(candidate: Candidate) -> str | None:
    """What a checkpoint may be used under: that of the sample, of the Hub's card, or of a README.md in its folder."""
    if candidate.name.startswith(SAMPLE):
        sample = plugins.load("samples", candidate.name.removeprefix(SAMPLE))
        return str(sample.license)
    if candidate.checkpoint.revision is not None:
        cards = hub_cards({candidate.name: candidate.checkpoint.revision})
        return cards.get(candidate.name, {}).get("license")
    record = Path(candidate.name).expanduser() / "result.json"
    if record.is_file():
        facts = RunResult.load(record).samples.values()
        return ", ".join(sorted({it.license for it in facts})) or None
    return _card_licence(Path(candidate.checkpoint.path) / "README.md")


def _card_licence(card: Path) -> str | None:
    """The field `license` of a model card."""
    if not card.is_file():
        return None
    parts = card.read_text(encoding="utf-8", errors="replace").split("---\n", 2)
    try:
        fields = yaml.safe_load(parts[1]) if len(parts) == 3 and not parts[0] else None
    except yaml.YAMLError:
        fields = None
    found = fields.get("license") if isinstance(fields, dict) else None
    return found if isinstance(found, str) else None


def _folder(checkpoint: Checkpoint) -> Path:
    """Where the files are; of a Hub id, the snapshot in the cache."""
    if checkpoint.revision is None:
        return Path(checkpoint.path)
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    name = repo_folder_name(repo_id=checkpoint.path, repo_type="model")
    return Path(constants.HF_HUB_CACHE) / name / "snapshots" / checkpoint.revision
