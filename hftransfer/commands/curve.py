"""hftransfer curve."""

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
        "curve", help="run a recipe with several numbers of labels, and say what more would give"
    )
    _arguments.recipe(command, "fields to change; a list has several values, such as strategy=[lora,full]")
    command.add_argument(
        "--labels",
        nargs="+",
        metavar="N",
        default=["8", "16", "32"],
        help="labels of each class, or all; at least three",
    )
    command.add_argument("--seeds", type=int, default=3, help="runs of each number, with seeds from 0 on")
    command.add_argument("--gain", type=float, default=0.02, help="improvement whose price in labels is estimated")
    command.add_argument("--out", type=Path, help="directory of the runs (default: runs/curve-NAME of the recipe)")
    return command


def run(args: argparse.Namespace) -> int:
    """Run what is not finished, print a table and what more labels would give, and write `curve.json` and the page."""
    from hftransfer import api
    from hftransfer.choosing.curve import table
    from hftransfer.runner.folders import folder_of

    out = args.out or folder_of("curve", args.recipe)
    curves = api.curve(args.recipe, args.overrides, labels=args.labels, seeds=args.seeds, gain=args.gain, out=out)
    found = table(curves)
    text = f"\n{found.title}:\n{found.text()}\n\n{curves.advice}\n\npage: {out}/curve.html"
    show(args, text, {"folder": out, **curves.model_dump()})
    return 0
