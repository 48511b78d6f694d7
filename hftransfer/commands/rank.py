"""hftransfer rank."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from hftransfer.commands import _arguments
from hftransfer.commands._output import show
from hftransfer.core.termination import Terminated

if TYPE_CHECKING:
    from hftransfer.commands._arguments import Commands


def add(commands: "Commands") -> argparse.ArgumentParser:
    """Register the command's parser."""
    command = commands.add_parser("rank", help="compare checkpoints for a recipe, before any of them is fine-tuned")
    _arguments.recipe(command)
    group = command.add_mutually_exclusive_group(required=True)
    group.add_argument(
        "--checkpoints",
        nargs="+",
        metavar="ID",
        default=[],
        help="Hub ids, local directories, directories of runs or sample:NAME",
    )
    group.add_argument("--from", dest="file", type=Path, metavar="FILE", help="a text file with one of these a line")
    command.add_argument("--rows", type=int, default=500, help="training rows that are read, at most (default: 500)")
    command.add_argument(
        "--minutes", type=float, help="then fine-tune those that are not separable from the best, in so many minutes"
    )
    command.add_argument("--out", type=Path, help="directory of the ranking (default: runs/rank-NAME of the recipe)")
    return command


def run(args: argparse.Namespace) -> int:
    """Print the ranking; what is interrupted is continued by the same command."""
    from hftransfer import api_choosing
    from hftransfer.choosing import ranking_text
    from hftransfer.choosing.candidates import names_in_file
    from hftransfer.runner.folders import folder_of

    named, overrides = _arguments.split_overrides(args.checkpoints)
    overrides = [*args.overrides, *overrides]
    names = names_in_file(args.file) if args.file else named
    out = args.out or folder_of("rank", args.recipe)
    try:
        ranking = api_choosing.rank(args.recipe, names, overrides, out=out, rows=args.rows, minutes=args.minutes)
    except (KeyboardInterrupt, Terminated):
        print("\nthe same command continues", file=sys.stderr)
        raise
    text = f"\n{ranking_text.text(ranking)}\n\nrecord: {out}/result.json, page: {out}/rank.html"
    show(args, text, {"folder": out, **ranking.model_dump()}, ranking.warnings)
    return 0
