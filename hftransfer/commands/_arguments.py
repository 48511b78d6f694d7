"""Arguments that several commands have, and what they print of a finished run."""

import argparse
import re
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from hftransfer.commands._output import show
from hftransfer.core.paths import is_file, is_folder

if TYPE_CHECKING:
    from hftransfer.core.results import RunResult

    Commands: TypeAlias = argparse._SubParsersAction[argparse.ArgumentParser]

_RECIPE = (
    "a YAML file, its https:// address, the name of a packaged recipe (quickstart), or hub:user/name of a pushed run"
)


def recipe(command: argparse.ArgumentParser, text: str = "fields to change, such as strategy.r=16") -> None:
    """The recipe and the fields to change in it: `args.recipe` and `args.overrides`."""
    command.add_argument("recipe", help=_RECIPE)
    overrides(command, text)


def overrides(command: argparse.ArgumentParser, text: str, metavar: str = "key=value") -> None:
    """Fields to change: `args.overrides`, a list of `key=value`."""
    # Without a default, argparse says that they are required.
    command.add_argument("overrides", nargs="*", default=[], metavar=metavar, help=text)


def recipes(command: argparse.ArgumentParser, text: str) -> None:
    """Several recipes and the fields to change in all: `args.recipe`, and the others in `args.overrides`."""
    command.add_argument("recipe", help=_RECIPE)
    overrides(command, text, "recipe|key=value")
    command.set_defaults(takes_recipes=True)


def split_overrides(words: list[str]) -> tuple[list[str], list[str]]:
    """Words of an option that takes several, and the overrides among them; a path may have `=` in it."""
    is_override = [
        re.match(r"[A-Za-z_][\w.-]*=", word) is not None and not is_folder(word) and not is_file(word) for word in words
    ]
    return [word for word, it in zip(words, is_override, strict=True) if not it], list(compress(words, is_override))


def jobs(command: argparse.ArgumentParser) -> None:
    """How many runs go on at the same time: `args.jobs`."""
    text = "runs at the same time, each with a GPU or its share of the cores"
    command.add_argument("--jobs", type=int, default=1, metavar="N", help=text)


def existing_run(command: argparse.ArgumentParser) -> None:
    """What to do with a run that is already in the directory: `args.resume`, `args.overwrite`."""
    group = command.add_mutually_exclusive_group()
    group.add_argument("--resume", action="store_true", help="continue an unfinished run")
    group.add_argument("--overwrite", action="store_true", help="replace a finished or unfinished run")


def finished(args: argparse.Namespace, result: "RunResult", out: Path, pushed: str | None = None) -> int:
    """Print the result of a run, and where it was pushed; the exit code: 3 when an exported variant was rejected."""
    from hftransfer.reporting.report import terminal
    from hftransfer.reporting.summary import summary

    text = f"\n{terminal(result)}\n\nreport: {out}/report.html, model: {out}/model/"
    text += f"\npushed: {pushed}" if pushed else ""
    show(args, text, {**summary(result, out), "pushed": pushed}, result.warnings)
    return 3 if result.rejected() else 0
