"""hftransfer completion."""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hftransfer.commands._arguments import Commands


def add(commands: "Commands") -> argparse.ArgumentParser:
    """Register the command's parser."""
    from hftransfer.commands._completion import SCRIPTS

    command = commands.add_parser("completion", help="print a script by which a shell completes commands and names")
    command.add_argument("shell", choices=list(SCRIPTS), help='bash: eval "$(hftransfer completion bash)"')
    return command


def run(args: argparse.Namespace) -> int:
    """Print the script."""
    from hftransfer.commands._completion import SCRIPTS, commands

    print(SCRIPTS[args.shell](commands()), end="")
    return 0
