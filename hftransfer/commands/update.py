"""hftransfer update."""

import argparse
import sys
from typing import TYPE_CHECKING

from hftransfer.commands._output import show
from hftransfer.core.console import styled

if TYPE_CHECKING:
    from hftransfer.commands._arguments import Commands
    from hftransfer.recipe.update import RecipeUpdate


def add(commands: "Commands") -> argparse.ArgumentParser:
    """Register the command's parser."""
    command = commands.add_parser("update", help="bring a recipe of an earlier version up to date")
    command.add_argument("recipe", help="a YAML file, or the directory of a run, for its recipe.yaml")
    command.add_argument(
        "--write", action="store_true", help="replace the file; without it, the changes are only shown"
    )
    return command


def run(args: argparse.Namespace) -> int:
    """Print what changes, a line each, and the difference; the exit code: 2 where the result is no recipe."""
    from hftransfer.recipe.update import update

    found = update(args.recipe, write=args.write)
    lines = [f"{found.file}:{change.line}: {change.text}" for change in found.changes]
    text = "\n".join([*lines, *_outcome(found)])
    if text or args.json:
        show(args, text, found)
    if found.problem is None:
        return 0
    print(f"{styled('hftransfer:', 'error', sys.stderr)} {found.problem}", file=sys.stderr)
    return 2


def _outcome(found: "RecipeUpdate") -> list[str]:
    if found.written:
        return [f"{found.file} is written"]
    if found.changes:
        return ["", found.diff, "", "nothing is written: --write replaces the file"]
    return [] if found.problem else [f"{found.file} is up to date"]
