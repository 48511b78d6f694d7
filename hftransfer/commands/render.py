"""hftransfer render."""

import argparse
from typing import TYPE_CHECKING

from hftransfer.commands import _arguments
from hftransfer.commands._output import show

if TYPE_CHECKING:
    from hftransfer.commands._arguments import Commands


def add(commands: "Commands") -> argparse.ArgumentParser:
    """Register the command's parser."""
    command = commands.add_parser("render", help="print a recipe with what it extends and what is overridden")
    _arguments.recipe(command)
    command.add_argument("--defaults", action="store_true", help="print every key, those with their default too")
    return command


def run(args: argparse.Namespace) -> int:
    """Print the recipe as YAML that `run` takes."""
    from hftransfer import api
    from hftransfer.core.yaml_writer import dump_yaml

    recipe = api.read_recipe(args.recipe, args.overrides)
    tree = recipe.model_dump() if args.defaults else recipe.written()
    show(args, dump_yaml(tree).removesuffix("\n"), tree)
    return 0
