"""A Space of the Hub that answers with a pushed model, by the page of `hftransfer demo`."""

from __future__ import annotations

import importlib.metadata
import platform
from pathlib import Path

from hftransfer.core import plugins
from hftransfer.core.errors import HubError
from hftransfer.core.installation import DISTRIBUTION, is_for, this_version
from hftransfer.core.results import RunResult
from hftransfer.hub.upload import Pushed
from hftransfer.reporting.model_card import model_license
from hftransfer.reporting.redaction import without_folders
from hftransfer.reporting.templates import render

_TESTED = Path(__file__).parent.parent / "constraints" / "default.txt"
# The Hub refuses a longer one.
_LONGEST_DESCRIPTION = 60


def check_space(result: RunResult) -> None:
    """Refuse a run that a Space cannot open.

    Raises:
        HubError: its task, strategy or source is a plug-in from elsewhere, or the task needs a local file.
    """
    recipe = result.recipe
    named = {"tasks": recipe["task"], "strategies": recipe["strategy"], "sources": recipe["data"]["source"]}
    for kind, section in named.items():
        if not plugins.is_packaged(kind, section["name"]):
            raise HubError(f"--space: '{section['name']}' is a plug-in from outside of hftransfer, which no Space has")
    for key, value in without_folders(recipe["task"]).items():
        if value != recipe["task"][key]:
            raise HubError(f"--space: task.{key} is a file or a folder of this machine, which no Space has")


def space_files(result: RunResult, repo: str, model: Pushed) -> dict[str, bytes | Path]:
    """Path in the Space -> content: a card, packages in tested versions, and a program that asks the model.

    Args:
        result: the record of the run.
        repo: the model's repository.
        model: what was pushed there.
    """
    from huggingface_hub import SpaceCardData

    tested = _tested_versions()
    metadata = SpaceCardData(
        title=repo.partition("/")[2],
        emoji="🔎",
        colorFrom="blue",
        colorTo="green",
        sdk="gradio",
        sdk_version=tested["gradio"],
        python_version=".".join(platform.python_version_tuple()[:2]),
        app_file="app.py",
        license=model_license(result),
        models=[repo],
        tags=["hftransfer"],
        short_description=f"Ask a model for {result.task}"[:_LONGEST_DESCRIPTION],
    )
    values = {
        "metadata": metadata.to_yaml(),
        "title": metadata.title,
        "repo": repo,
        "commit": model.commit,
        "task": result.task,
        "private": model.private,
        "gradio": tested["gradio"],
    }
    return {
        "README.md": render("space.md.jinja", **values).encode(),
        "app.py": render("space_app.py.jinja", **values).encode(),
        "requirements.txt": "\n".join([*_requirements(result, tested), ""]).encode(),
    }


def _requirements(result: RunResult, tested: dict[str, str]) -> list[str]:
    """This version of the package with the extras that the task needs, and what it requires in tested versions.

    Gradio is not among them: the Hub installs that of the card's `sdk_version`.
    """
    from packaging.requirements import Requirement

    extras = plugins.load("tasks", result.task).extras()
    wanted = [Requirement(text) for text in importlib.metadata.requires(DISTRIBUTION) or []]
    needed = [it for it in wanted if any(is_for(it, extra) for extra in ("", *extras))]
    names = sorted({_normalized(it.name) for it in needed} & tested.keys())
    return [this_version(extras), *(f"{name}=={tested[name]}" for name in names)]


def _tested_versions() -> dict[str, str]:
    """Package -> the version that this package is tested with."""
    lines = [line.partition("==") for line in _TESTED.read_text(encoding="utf-8").splitlines() if "==" in line]
    return {_normalized(name): version for name, _, version in lines}


def _normalized(name: str) -> str:
    return name.lower().replace("_", "-")
