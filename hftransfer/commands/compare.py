"""hftransfer compare."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from hftransfer.commands import _arguments
from hftransfer.commands._output import show

if TYPE_CHECKING:
    from hftransfer.commands._arguments import Commands


def add(commands: "Commands") -> argparse.ArgumentParser:
    """Register the command's parser."""
    command = commands.add_parser(
        "compare", help="run recipes, or one with several values of some fields, and compare them"
    )
    _arguments.recipes(
        command, "further recipes, and fields to change in all; a list has several values: strategy=[lora,full]"
    )
    command.add_argument("--seeds", type=int, default=3, help="runs of each combination, with seeds from 0 on")
    _arguments.jobs(command)
    command.add_argument(
        "--out", type=Path, help="directory of the runs (default: runs/compare- and the recipe's name)"
    )
    return command


def run(args: argparse.Namespace) -> int:
    """Run what is not finished, print a table and the advice, and write `compare.json` and `compare.html`."""
    from hftransfer import api_choosing
    from hftransfer.choosing.compare import table
    from hftransfer.runner.folders import folder_of

    recipes, overrides = _arguments.split_overrides(args.overrides)
    out = args.out or folder_of("compare", args.recipe)
    comparison = api_choosing.compare([args.recipe, *recipes], overrides, seeds=args.seeds, jobs=args.jobs, out=out)
    found = table(comparison)
    text = f"\n{found.title}:\n{found.text()}\n\n{comparison.advice}\n\npage: {out}/compare.html"
    show(args, text, {"folder": out, **comparison.model_dump()})
    return 0
