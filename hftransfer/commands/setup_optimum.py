"""hftransfer setup-optimum."""

import argparse
import sys
from typing import TYPE_CHECKING

from hftransfer.commands._output import show
from hftransfer.core.console import is_quiet

if TYPE_CHECKING:
    from hftransfer.commands._arguments import Commands


def add(commands: "Commands") -> argparse.ArgumentParser:
    """Register the command's parser."""
    command = commands.add_parser("setup-optimum", help="make the environment of Optimum, for models that generate")
    command.add_argument("--python", help="the Python that it is made of (default: the one that runs this)")
    return command


def run(args: argparse.Namespace) -> int:
    """Make the environment, and print where its Python is."""
    from hftransfer.exporters import _optimum

    if not is_quiet():
        print(f"making {_optimum.environment()}, about 1 GB (a few minutes) ...", file=sys.stderr)
    python = _optimum.setup(args.python or sys.executable)
    show(args, str(python), {"python": python})
    return 0
