"""hftransfer push."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from hftransfer.commands._output import show
from hftransfer.core.errors import RecipeError

if TYPE_CHECKING:
    from hftransfer.commands._arguments import Commands
    from hftransfer.hub.push import Wanted


def add(commands: "Commands") -> argparse.ArgumentParser:
    """Register the command's parser."""
    command = commands.add_parser("push", help="upload a finished run to the Hub: model, card, exports, recipe")
    command.add_argument("run", type=Path, help="directory of a finished run, or of a comparison (with --collection)")
    command.add_argument(
        "--repo",
        help="user/name (default: hub.repo of the recipe); of a comparison, what the names of its models begin with",
    )
    command.add_argument("--private", action="store_true", help="make a new repository private")
    command.add_argument("--adapter", action="store_true", help="upload the PEFT adapter alone, not the merged model")
    command.add_argument(
        "--space",
        nargs="?",
        const="",
        metavar="USER/NAME",
        help="also push a Space that answers with the model, as `demo` does (default: the model's name and -demo)",
    )
    command.add_argument(
        "--predictions",
        nargs="?",
        const="",
        metavar="USER/NAME",
        help="also push the predictions on test and validation rows as a data set (default: the model's name and "
        "-predictions)",
    )
    command.add_argument(
        "--collection",
        metavar="TITLE",
        help="push every run of a comparison, and make a collection of them, the best first, each with its score",
    )
    command.add_argument("--force", action="store_true", help="replace what another run has uploaded")
    return command


def run(args: argparse.Namespace) -> int:
    """Push the run, or those of a comparison, and print the address of each commit."""
    from hftransfer.hub.push import Wanted

    fields = ("repo", "private", "adapter", "force", "space", "predictions")
    wanted = Wanted(**{name: getattr(args, name) for name in fields})
    return _push_run(args, wanted) if args.collection is None else _push_comparison(args, wanted)


def _push_run(args: argparse.Namespace, wanted: "Wanted") -> int:
    from hftransfer.api import finished_run
    from hftransfer.choosing.publish import is_comparison
    from hftransfer.runner.predictions import publish

    if is_comparison(args.run):
        raise RecipeError(
            f"'{args.run}' holds a comparison: --collection TITLE pushes its runs, or name one, in '{args.run}/runs'"
        )
    finished_run(args.run)
    pushed = {kind: it.address for kind, it in publish(args.run, wanted).items()}
    show(args, "\n".join(pushed.values()), {"folder": args.run, "address": pushed["model"], **pushed})
    return 0


def _push_comparison(args: argparse.Namespace, wanted: "Wanted") -> int:
    from hftransfer.choosing.publish import publish

    published = publish(args.run, args.collection, wanted)
    text = "\n".join([*published.models.values(), f"collection: {published.collection}"])
    show(args, text, {"folder": args.run, "collection": published.collection, "models": published.models})
    return 0
