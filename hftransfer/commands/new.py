"""hftransfer new."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from hftransfer.commands._output import show

if TYPE_CHECKING:
    from hftransfer.commands._arguments import Commands
    from hftransfer.drafting.new import Question


def add(commands: "Commands") -> argparse.ArgumentParser:
    """Register the command's parser."""
    command = commands.add_parser("new", help="look at data, and write a recipe for them")
    command.add_argument(
        "data", help="a table, a folder, sample:NAME, or a data set of the Hub: user/name, user/name:config"
    )
    command.add_argument(
        "folder", nargs="?", type=Path, default=Path(), help="where the recipe is written, called after the data"
    )
    command.add_argument("--task", help="the task, if it is not to be found")
    command.add_argument("--model", metavar="ID", help="the checkpoint, if not a small one that suits the task")
    command.add_argument(
        "--project",
        action="store_true",
        help="lay out a repository in a new folder: recipe, tests, CI; of text, vision or speech as data, made-up rows",
    )
    command.add_argument("--yes", action="store_true", help="ask nothing; without a terminal nothing is asked anyway")
    return command


def run(args: argparse.Namespace) -> int:
    """Write the recipe, and print what was found and the next command."""
    from hftransfer.drafting import project
    from hftransfer.drafting.new import new

    asks = sys.stdin.isatty() and not (args.yes or args.json)
    ask = _ask if asks else None
    if args.project:
        folder = args.folder if args.folder != Path() else Path(f"{Path(args.data).stem}-project")
        laid_out = project.new_project(args.data, folder, task=args.task, model=args.model, ask=ask)
        show(args, project.shown(laid_out, folder), project.record(laid_out, folder), laid_out.findings)
        return 0
    proposal = new(args.data, args.folder, task=args.task, model=args.model, ask=ask)
    show(args, str(proposal), proposal.record(), proposal.findings)
    return 0


def _ask(question: "Question") -> str:
    """The answer of somebody at a terminal: a number, the answer itself, or Enter for the first one."""
    print(question.text)
    for number, answer in enumerate(question.answers, 1):
        print(f"  {number}  {answer}")
    while True:
        try:
            typed = input("[1] ").strip() or "1"
        except EOFError:
            return question.answers[0]
        if typed.isdigit() and 1 <= int(typed) <= len(question.answers):
            return question.answers[int(typed) - 1]
        named = [answer for answer in question.answers if typed in (answer, answer.partition(" (")[0])]
        if named or (question.free and not typed.isdigit()):
            return named[0] if named else typed
        print(f"a number from 1 to {len(question.answers)}{', or another one' if question.free else ''}")
