"""Run recipes one after the other, in each process that torchrun starts; each run lies beside its recipe."""

import sys
from pathlib import Path

from hftransfer.pipeline import run
from hftransfer.reading import load_recipe

for name in sys.argv[1:]:
    run(load_recipe(Path(name)), Path(name).with_suffix(""))
