"""hftransfer check."""

import argparse
from typing import TYPE_CHECKING

from hftransfer.commands import _arguments

if TYPE_CHECKING:
    from hftransfer.commands._arguments import Commands


def add(commands: "Commands") -> argparse.ArgumentParser:
    """Register the command's parser."""
    command = commands.add_parser("check", help="find the mistakes in a recipe and its data, in seconds")
    _arguments.recipe(command)
    return command


def run(args: argparse.Namespace) -> int:
    """Print what the run would do."""
    from hftransfer import api
    from hftransfer.core.garbage import without_garbage_collection

    with without_garbage_collection():
        print(api.check(args.recipe, args.overrides))
    return 0
