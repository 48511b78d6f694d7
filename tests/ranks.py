"""Run recipes in turn, in each process that a launcher starts; each run is written next to its recipe.

The training of `killed.yaml` ends at step 4 and is resumed. What each process has called is in `calls-RANK.json`.
"""

import collections
import functools
import json
import os
import sys
from pathlib import Path

import interruptions
import pytest

from hftransfer.cli import main
from hftransfer.evaluation.scoring import Scorer
from hftransfer.recipe.loader import load_recipe
from hftransfer.reporting import report
from hftransfer.runner import baselines, pipeline, rows, stages

CALLS = collections.Counter()


def count(owner, name):
    function = getattr(owner, name)

    @functools.wraps(function)
    def counted(*args, **kwargs):
        CALLS[name] += 1
        return function(*args, **kwargs)

    setattr(owner, name, counted)


COUNTED = [
    (rows, "load_rows"),
    (stages, "measure_latency"),
    (stages, "feature_similarity"),
    (baselines, "fit_and_score"),
    (Scorer, "resample"),
    (report, "html"),
]
for owner, name in COUNTED:
    count(owner, name)
for file in map(Path, sys.argv[1:]):
    out = file.with_suffix("")
    if file.name == "killed.yaml":
        with pytest.MonkeyPatch.context() as monkeypatch:
            interruptions.kill_at(monkeypatch, 4, functools.partial(pipeline.run, load_recipe(file), out))
    assert main(["run", str(file), "--out", str(out), "--resume"]) == 0
Path(file.parent / f"calls-{os.environ['RANK']}.json").write_text(json.dumps(CALLS))
