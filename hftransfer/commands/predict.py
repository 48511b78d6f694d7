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
    command.add_argument("--out", type=Path, metavar="FOLDER", help="write what a model speaks into it, as 1.wav ...")
    return command


def run(args: argparse.Namespace) -> int:
    """Print an answer a line, as JSON; with `--json`, all of them as one object."""
    from hftransfer.api import finished_run
    from hftransfer.runner.predict import predictions, with_recording

    answers = []
    found = predictions(args.run, finished_run(args.run), args.input, args.variant, args.abstain)
    for number, answer in enumerate(found, 1):
        answers.append(answer if args.out is None else with_recording(answer, args.out / f"{number}.wav"))
        if not args.json:
            print(json.dumps(answers[-1], ensure_ascii=False))
    args.record = {"variant": args.variant, "answers": answers}
    return 0
