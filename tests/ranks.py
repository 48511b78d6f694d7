"""Run recipes in turn, in each process that torchrun starts; each run is written next to its recipe."""

import sys
from pathlib import Path

from hftransfer.recipe.loader import load_recipe
from hftransfer.runner.pipeline import run

for name in sys.argv[1:]:
    run(load_recipe(Path(name)), Path(name).with_suffix(""))
