"""hftransfer eject."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from hftransfer.commands._output import show

if TYPE_CHECKING:
    from hftransfer.commands._arguments import Commands


def add(commands: "Commands") -> argparse.ArgumentParser:
    """Register the command's parser."""
    command = commands.add_parser("eject", help="write a finished run as a script of plain Transformers, with its rows")
    command.add_argument("run", type=Path, help="directory of a finished run")
    command.add_argument("--out", type=Path, help="directory of the script (default: RUN-ejected)")
    return command


def run(args: argparse.Namespace) -> int:
    """Write the script, and print how it is started."""
    from hftransfer.runner.eject import SCRIPT, eject

    folder = eject(args.run, args.out)
    script = folder / SCRIPT
    lines = len(script.read_text(encoding="utf-8").splitlines())
    show(args, f"{script} written, {lines} lines: uv run {script}", {"folder": folder, "script": script})
    return 0
