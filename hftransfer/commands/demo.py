"""hftransfer demo."""

import argparse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hftransfer.commands._arguments import Commands


def add(commands: "Commands") -> argparse.ArgumentParser:
    """Register the command's parser."""
    command = commands.add_parser("demo", help="show a page on this machine that asks a finished run")
    command.add_argument("run", type=Path, help="directory of a finished run")
    command.add_argument("--variant", default="tuned", help="tuned, or an exported variant such as onnx-int8")
    command.add_argument("--port", type=int, default=7860, help="of 127.0.0.1; 0 for any that is free")
    return command


def run(args: argparse.Namespace) -> int:
    """Serve the page until Ctrl-C."""
    from hftransfer.api import finished_run
    from hftransfer.runner import demo

    result = finished_run(args.run)
    demo.check_installed()
    with demo.listen(args.port) as listening:
        demo.serve(partial(demo.page_of, args.run, result, args.variant), listening, f"{args.run} ({args.variant})")
    return 0
