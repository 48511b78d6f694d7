"""hftransfer push."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from hftransfer.commands._output import show

if TYPE_CHECKING:
    from hftransfer.commands._arguments import Commands


def add(commands: "Commands") -> argparse.ArgumentParser:
    """Register the command's parser."""
    command = commands.add_parser("push", help="upload a finished run to the Hub: model, card, exports, recipe")
    command.add_argument("run", type=Path, help="directory of a finished run")
    command.add_argument("--repo", help="user/name (default: hub.repo of the recipe)")
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
    command.add_argument("--force", action="store_true", help="replace what another run has uploaded")
    return command


def run(args: argparse.Namespace) -> int:
    """Push the run, and print the address of each commit."""
    from hftransfer.api import finished_run
    from hftransfer.hub.push import Wanted
    from hftransfer.runner.predictions import publish

    finished_run(args.run)
    fields = ("repo", "private", "adapter", "force", "space", "predictions")
    wanted = Wanted(**{name: getattr(args, name) for name in fields})
    pushed = {kind: it.address for kind, it in publish(args.run, wanted).items()}
    show(args, "\n".join(pushed.values()), {"folder": args.run, "address": pushed["model"], **pushed})
    return 0
