"""hftransfer audit."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from hftransfer.commands import _arguments
from hftransfer.commands._output import show

if TYPE_CHECKING:
    from hftransfer.commands._arguments import Commands


def add(commands: "Commands") -> argparse.ArgumentParser:
    """Register the command's parser."""
    command = commands.add_parser("audit", help="look for near copies, wrong labels and odd rows, before any training")
    _arguments.recipe(command)
    command.add_argument("--out", type=Path, help="directory of the audit (default: runs/audit-NAME of the recipe)")
    _arguments.existing_run(command)
    return command


def run(args: argparse.Namespace) -> int:
    """Audit the rows of the recipe, and print what was found."""
    from hftransfer import api_choosing
    from hftransfer.reporting.audit_page import terminal
    from hftransfer.runner.folders import folder_of

    out = args.out or folder_of("audit", args.recipe)
    result = api_choosing.audit(args.recipe, args.overrides, out=out, resume=args.resume, overwrite=args.overwrite)
    show(args, f"\n{terminal(result, str(out))}", {"folder": out, **result.model_dump()})
    return 0
