"""The command line. Nothing here imports torch before a command needs it."""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from hftransfer import __version__, commands
from hftransfer.core import plugins
from hftransfer.core.disk import full_disk_explained
from hftransfer.core.errors import HFTransferError, without_secrets
from hftransfer.core.progress import hide_library_bars
from hftransfer.core.ranks import leave_main_to_speak, main_prints
from hftransfer.core.termination import Terminated, explain, handled_sigterm

# What a shell reports of a command that a closed pipe has stopped: 128 + SIGPIPE.
_CLOSED_PIPE = 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns:
        The exit code: 0 success, 2 a mistake of the user's, explained in one sentence on stderr, 3 an exported variant
        was rejected or a run could not be reproduced.
    """
    parser = _parser()
    args, rest = parser.parse_known_args(arguments)
    # argparse accepts positional arguments only in one group; overrides may follow an option too.
    if wrong := [word for word in rest if word.startswith("-") or "=" not in word or not hasattr(args, "overrides")]:
        parser.error(without_secrets(f"unrecognized arguments: {' '.join(wrong)}"))
    if rest:
        args.overrides += rest
    hide_library_bars()
    try:
        for folder in args.plugins:
            plugins.add_folder(folder)
        with handled_sigterm(), full_disk_explained(), main_prints():
            code = int(args.command(args))
        sys.stdout.flush()
    except HFTransferError as error:
        leave_main_to_speak()
        print(f"hftransfer: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # `hftransfer list | head`: what is still buffered would fail once more when Python exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _CLOSED_PIPE
    except (KeyboardInterrupt, Terminated) as end:
        return explain(end, resumable=hasattr(args, "resume"))
    return code


def _parser() -> argparse.ArgumentParser:
    description = "Transfer learning by recipe: fine-tune, score, export and publish a Hugging Face checkpoint."
    parser = argparse.ArgumentParser(prog="hftransfer", description=description)
    parser.add_argument("--version", action="version", version=__version__)
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for name in commands.ORDER:
        module = importlib.import_module(f"hftransfer.commands.{name}")
        command = module.add(subparsers)
        command.add_argument(
            "--plugins",
            type=Path,
            metavar="DIR",
            action="append",
            default=[],
            help="a folder with plug-ins of your own, in tasks/, strategies/, metrics/ ...; may be repeated",
        )
        command.set_defaults(command=module.run)
    return parser


if __name__ == "__main__":
    sys.exit(main())
