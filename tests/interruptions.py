"""Runs that end early, in a test that goes on."""

import numpy as np
import pytest

from hftransfer.training.callbacks import CompleteCheckpoint


class Killed(BaseException):
    """The end of a process."""


def kill(*_args, **_kwargs):
    """What a function is replaced by that a process does not live to call."""
    raise Killed


def kill_at(monkeypatch, step, run_it):
    """Call a function whose training ends once a step is saved; None: once the first of two trainings ends."""
    complete = CompleteCheckpoint.on_save

    def on_save(self, args, state, control, **kwargs):
        complete(self, args, state, control, **kwargs)
        if state.global_step == step and "tuned/" in args.output_dir:
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(CompleteCheckpoint, "on_save", on_save)
        if step is None:
            patched.setattr("hftransfer.runner.stages.load_saved", kill)
        with pytest.raises(Killed):
            run_it()


def assert_same(first, second):
    """Two runs have the same predictions."""
    for split in ("validation", "test"):
        expected, found = (np.load(run / "predictions" / f"{split}.npz") for run in (first, second))
        assert set(expected) == set(found)
        for variant in expected:
            np.testing.assert_array_equal(found[variant], expected[variant], err_msg=variant)
