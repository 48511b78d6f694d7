"""hftransfer predict."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hftransfer.commands._arguments import Commands


def add(commands: "Commands") -> argparse.ArgumentParser:
    """Register the command's parser."""
    command = commands.add_parser("predict", help="apply a finished run to texts or files")
    command.add_argument("run", type=Path, help="directory of a finished run")
    command.add_argument("input", nargs="+", help="a text (of a pair: both, separated by a tab), or a file's path")
    command.add_argument("--variant", default="tuned", help="tuned, or an exported variant such as onnx-int8")
    command.add_argument(
        "--abstain",
        type=float,
        metavar="P",
        help="give no label where the probability that it is right is lower than this, such as 0.95",
    )
    return command


def run(args: argparse.Namespace) -> int:
    """Print an answer a line, as JSON; with `--json`, all of them as one object."""
    from hftransfer.api import finished_run
    from hftransfer.runner.predict import predictions

    answers = []
    for answer in predictions(args.run, finished_run(args.run), args.input, args.variant, args.abstain):
        answers.append(answer)
        if not args.json:
            print(json.dumps(answer, ensure_ascii=False))
    args.record = {"variant": args.variant, "answers": answers}
    return 0
