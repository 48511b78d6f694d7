"""`hftransfer new --project`: a repository around a recipe, with data to begin with, tests, and CI."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import os
import shlex
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from hftransfer.core import plugins
from hftransfer.core.errors import RecipeError
from hftransfer.core.features import Audio, Image
from hftransfer.core.files import atomic_directory, write_bytes, write_text
from hftransfer.core.prefixes import SAMPLE
from hftransfer.drafting.new import Ask, Proposal, new, refuse_file
from hftransfer.reporting.templates import render
from hftransfer.sources._listing import IMAGES, RECORDINGS

# Rows of a class of made-up data.
_ROWS = 40
_SIDE, _RATE = 64, 16_000
_FILES = {
    "README.md": "README.md.jinja",
    "pyproject.toml": "pyproject.toml.jinja",
    "tests/test_recipe.py": "test_recipe.py.jinja",
    ".github/workflows/tests.yml": "tests.yml.jinja",
}


def new_project(data: str, folder: Path, *, task: str | None, model: str | None, ask: Ask | None) -> Proposal:
    """Lay out a repository in a folder that is not there yet.

    Args:
        data: as for `new`, or `text`, `vision` or `speech`: made-up rows, to be replaced.
        folder: the repository.
        task: as for `new`.
        model: as for `new`.
        ask: as for `new`.

    Raises:
        RecipeError: the folder exists, or as `new`.
        DataError, ModelError: as `new`.
    """
    refuse_file(folder, "the project")
    if folder.exists():
        raise RecipeError(f"'{folder}' exists; a project is laid out in a new folder")
    written: list[Proposal] = []

    def lay_out(place: Path) -> None:
        source = data
        if data in STUBS:
            source = STUBS[data](place)
        elif Path(data).exists():
            source = os.path.relpath(data, place)
        # Paths in a recipe count from the folder in which its commands run.
        with contextlib.chdir(place):
            found = new(source, ".", task=task, model=model, ask=ask)
        written.append(found)
        _write_files(place, folder.absolute().name, found, stub=data in STUBS)

    atomic_directory(folder, lay_out)
    return written[0]


def _write_files(place: Path, name: str, found: Proposal, *, stub: bool) -> None:
    """All but the data and the recipe."""
    example = _example(found, place)
    values = {
        "name": "".join(letter if letter.isalnum() else "-" for letter in name).strip("-").lower() or "project",
        "task": found.task,
        "checkpoint": found.checkpoint,
        "recipe": found.path.name,
        "run": found.path.stem,
        "stub": stub,
        "extras": _extras(found),
        "example": shlex.quote(example),
        "example_text": json.dumps(example),
    }
    for file, template in _FILES.items():
        target = place / file
        target.parent.mkdir(parents=True, exist_ok=True)
        write_text(target, render(f"project/{template}", **values))
    write_text(place / ".gitignore", "runs/\n.venv/\n__pycache__/\n*.egg-info/\n")


def _extras(found: Proposal) -> list[str]:
    """The extras of the package that task, checkpoint and export need."""
    samples = ["samples"] if found.checkpoint.startswith(SAMPLE) else []
    return sorted({*plugins.load("tasks", found.task).extras(), "onnx", *samples})


def _example(found: Proposal, place: Path) -> str:
    """What `predict` takes for the first row: its text, or the path of its file."""
    task, table = plugins.load("tasks", found.task), found.survey.table
    texts = []
    for role, feature in task.inputs.items():
        column = found.columns.get(role)
        if not isinstance(column, str) or table is None or isinstance(feature, Image | Audio):
            continue
        texts.append(str(table[0][column]))
    if texts:
        return "\t".join(texts)
    folder = place / found.survey.data
    files = IMAGES.below(folder) or RECORDINGS.below(folder)
    return os.path.relpath(files[0], place) if files else "example"


def _texts(place: Path) -> str:
    """A CSV file of two kinds of messages."""
    kinds = {
        "praise": ("Quick delivery, and the {} works as it should", "I like the {}, thank you"),
        "complaint": ("The {} arrived broken", "Two weeks, and still no {}"),
    }
    things = ("lamp", "chair", "kettle", "phone", "jacket", "bicycle", "radio", "table", "printer", "clock")
    colors = ("", "red ", "small ", "new ")
    lines = ["text,label"]
    for number in range(_ROWS):
        for label, forms in kinds.items():
            thing = colors[number // len(things) % len(colors)] + things[number % len(things)]
            lines.append(f'"{forms[number % len(forms)].format(thing)}, order {number}",{label}')
    file = Path("data") / "messages.csv"
    (place / "data").mkdir()
    write_text(place / file, "\n".join(lines) + "\n")
    return str(file)


def _images(place: Path) -> str:
    """A folder of images of two textures."""
    from PIL import Image as Pillow

    rng = np.random.default_rng(0)

    def pixels(label: str) -> np.ndarray:
        waves = np.sin(np.arange(_SIDE) * rng.uniform(0.4, 0.8) + rng.uniform(0, 6))
        stripes = np.tile(waves, (_SIDE, 1))
        shade = stripes if label == "columns" else stripes.T
        return (127 + 90 * shade[..., None] + rng.normal(0, 20, (_SIDE, _SIDE, 3))).clip(0, 255).astype(np.uint8)

    def content(label: str) -> bytes:
        stream = io.BytesIO()
        Pillow.fromarray(pixels(label)).save(stream, format="PNG")
        return stream.getvalue()

    return _folder(place, "photos", ("columns", "rows"), content, "png")


def _recordings(place: Path) -> str:
    """A folder of recordings of two sounds."""
    rng = np.random.default_rng(0)

    def content(label: str) -> bytes:
        time = np.arange(_RATE) / _RATE
        pitch = rng.uniform(200, 400) * (1 + time if label == "rising" else 2 - time)
        samples = 0.3 * np.sin(2 * np.pi * np.cumsum(pitch) / _RATE) + rng.normal(0, 0.01, len(time))
        stream = io.BytesIO()
        with wave.open(stream, "wb") as file:
            file.setparams((1, 2, _RATE, 0, "NONE", ""))
            file.writeframes((samples.clip(-1, 1) * 32767).astype("<i2").tobytes())
        return stream.getvalue()

    return _folder(place, "recordings", ("falling", "rising"), content, "wav")


def _folder(place: Path, name: str, labels: tuple[str, ...], content: Callable[[str], bytes], suffix: str) -> str:
    """Files in a folder for each label."""
    for label, number in itertools.product(labels, range(_ROWS)):
        file = place / "data" / name / label / f"{number:03}.{suffix}"
        file.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(file, content(label))
    return f"data/{name}"


STUBS: dict[str, Callable[[Path], str]] = {"text": _texts, "vision": _images, "speech": _recordings}
"""Modality -> what writes made-up rows into the folder `data`, and gives their path."""


def shown(proposal: Proposal, folder: Path) -> str:
    """What was laid out, and the next commands."""
    return f"{proposal}\nproject     cd {shlex.quote(str(folder))}: README.md has the commands, `pytest` tries them"


def record(proposal: Proposal, folder: Path) -> dict[str, Any]:
    """The same as a mapping."""
    return {"project": str(folder), **proposal.record(), "recipe": str(folder / proposal.path)}
