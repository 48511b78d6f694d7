"""The command line. Nothing here imports torch before a command needs it."""

import os
import sys
import traceback
from collections.abc import Sequence

from hftransfer.commands import _output, _parser
from hftransfer.core import plugins
from hftransfer.core.console import Level, is_verbose, set_level, styled
from hftransfer.core.errors import HFTransferError, without_secrets
from hftransfer.core.exhaustion import exhaustion_explained
from hftransfer.core.progress import hide_library_bars
from hftransfer.core.ranks import leave_main_to_speak, main_prints
from hftransfer.core.termination import Terminated, explain, handled_sigterm, interruption_of

# What a shell reports of a command that a closed pipe has stopped: 128 + SIGPIPE.
_CLOSED_PIPE = 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns:
        The exit code: 0 success, 2 a mistake of the user's, explained in one sentence on stderr, 3 an exported variant
        was rejected or a run could not be reproduced.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    set_level(Level.NORMAL)
    try:
        args = _parser.parse(words)
    except HFTransferError as error:
        return _refused(error, as_json="--json" in words)
    set_level(Level.QUIET if args.quiet else Level.VERBOSE if args.verbose else Level.NORMAL)
    hide_library_bars()
    try:
        for folder in args.plugins:
            plugins.add_folder(folder)
        with handled_sigterm(), exhaustion_explained(), main_prints(), _output.json_alone(args):
            code = int(args.command(args))
        sys.stdout.flush()
    except HFTransferError as error:
        if (end := interruption_of(error)) is not None:
            return explain(end, resumable=hasattr(args, "resume"))
        leave_main_to_speak()
        return _refused(error, as_json=args.json)
    except BrokenPipeError:
        # `hftransfer list | head`: what is still buffered would fail once more when Python exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _CLOSED_PIPE
    except (KeyboardInterrupt, Terminated) as end:
        return explain(end, resumable=hasattr(args, "resume"))
    return code


def _refused(error: HFTransferError, *, as_json: bool) -> int:
    """Print the sentence of an error; the exit code."""
    if is_verbose():
        print(_all_causes(error), file=sys.stderr)
    print(f"{styled('hftransfer:', 'error', sys.stderr)} {error}", file=sys.stderr)
    if as_json:
        _output.print_json({"error": str(error)})
    return 2


def _all_causes(error: BaseException) -> str:
    """The traceback with those of all causes, also of those that the sentence replaces (`raise ... from None`)."""
    cause: BaseException | None = error
    while cause is not None:
        cause.__suppress_context__ = False
        cause = cause.__cause__ or cause.__context__
    return without_secrets("".join(traceback.format_exception(error)))


if __name__ == "__main__":
    sys.exit(main())
