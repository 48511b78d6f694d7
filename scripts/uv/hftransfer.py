# /// script
# requires-python = ">=3.11"
# dependencies = ["hftransfer-recipes[onnx,samples,speech,text,vision]"]
# ///
"""hftransfer without installing it: `uv run ADDRESS/hftransfer.py run recipe.yaml`.

The lines above (PEP 723) tell uv which Python and packages to fetch, into an environment that it keeps for the next
time: https://docs.astral.sh/uv/guides/scripts.
"""

import os
import sys
from pathlib import Path

# Python looks for modules next to a script first, and would take this file for the package whose name it has; so would
# the processes that a command starts, in the working directory.
_HERE = Path(__file__).resolve().parent
sys.path[:] = [folder for folder in sys.path if Path(folder).resolve() != _HERE]
os.environ["PYTHONSAFEPATH"] = "1"


def main() -> int:
    """Run the command line of the package; its exit code."""
    try:
        from hftransfer import cli
    except ModuleNotFoundError as error:
        if error.name != "hftransfer":
            raise
        print(f"hftransfer: the package is not installed here; this installs it: uv run {__file__}", file=sys.stderr)
        return 2
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
