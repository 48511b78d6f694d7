"""hftransfer run."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from hftransfer.commands import _arguments

if TYPE_CHECKING:
    from hftransfer.commands._arguments import Commands


def add(commands: "Commands") -> argparse.ArgumentParser:
    """Register the command's parser."""
    command = commands.add_parser("run", help="train, score, export and document what a recipe describes")
    _arguments.recipe(command)
    command.add_argument("--out", type=Path, help="directory of the run (default: runs/ and the recipe's name)")
    _arguments.existing_run(command)
    return command


def run(args: argparse.Namespace) -> int:
    """Run the recipe, and push the run where the recipe asks for that."""
    from hftransfer import api
    from hftransfer.runner import pipeline

    recipe = api.read_recipe(args.recipe, args.overrides)
    out = args.out or api.default_folder(args.recipe)
    result = pipeline.run(recipe, out, resume=args.resume, overwrite=args.overwrite)
    return _arguments.finished(args, result, out, api.push_finished(recipe, out))
