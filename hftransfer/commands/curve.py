"""hftransfer curve."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from hftransfer.commands import _arguments
from hftransfer.commands._output import show
from hftransfer.core.errors import RecipeError

if TYPE_CHECKING:
    from hftransfer.commands._arguments import Commands

_LABELS = ["8", "16", "32"]


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
        help="labels of each class, or all; at least three (default: 8 16 32, and none with --next)",
    )
    command.add_argument("--seeds", type=int, help="runs of each number, with seeds from 0 on (default: 3)")
    command.add_argument("--gain", type=float, help="improvement whose price in labels is estimated (default: 0.02)")
    command.add_argument(
        "--next", type=int, metavar="N", help="write next.csv: N rows without labels that are worth labelling"
    )
    command.add_argument(
        "--unlabelled", metavar="SPLIT", help="split of the rows without labels (default: data.unlabelled, else rest)"
    )
    command.add_argument("--out", type=Path, help="directory of the runs (default: runs/curve-NAME of the recipe)")
    return command


def run(args: argparse.Namespace) -> int:
    """Run what is not finished, print a table and what more labels would give, and write `curve.json` and the page.

    With `--next`, the rows that are worth labelling come first, as `next.csv`.

    Raises:
        RecipeError: options that do not go together.
    """
    from hftransfer import api_choosing as api
    from hftransfer.choosing.curve import table
    from hftransfer.runner.folders import folder_of

    out = args.out or folder_of("curve", args.recipe)
    if args.unlabelled and args.next is None:
        raise RecipeError("--unlabelled: it names the rows that --next N chooses from; give --next as well")
    sizes, overrides = _arguments.split_overrides(args.labels or [])
    overrides = [*args.overrides, *overrides]
    options = {name: value for name, value in (("seeds", args.seeds), ("gain", args.gain)) if value is not None}
    if options and args.next is not None and not sizes:
        raise RecipeError(f"--{next(iter(options))}: it is for runs with several numbers of labels; give --labels too")
    text, record = "", {"folder": out}
    if args.next is not None:
        rows = api.next_rows(args.recipe, overrides, count=args.next, unlabelled=args.unlabelled, out=out)
        text = f"\n{len(rows)} rows to label next: {out}/next.csv"
        record |= {"next": [row.model_dump() for row in rows]}
    if sizes or args.next is None:
        curves = api.curve(args.recipe, overrides, labels=sizes or _LABELS, out=out, **options)
        found = table(curves)
        text += f"\n{found.title}:\n{found.text()}\n\n{curves.advice}\n\npage: {out}/curve.html"
        record |= curves.model_dump()
    show(args, text, record)
    return 0
