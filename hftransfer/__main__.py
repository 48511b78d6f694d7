"""`python -m hftransfer`: the commands, where the script is not on the path."""

import sys

from hftransfer.cli import main

sys.exit(main())
