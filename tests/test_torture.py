"""A short part of the campaigns of `scripts/torture`, which run for minutes: the same code, few calls."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "scripts"))

from _torture_calls import call
from _torture_damage import damage
from _torture_fuzz import fuzz


def test_no_odd_value_of_a_recipe_ends_in_a_traceback(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outcomes, asked = fuzz(tmp_path, 120, 7, processes=1, seconds=300)
    assert [(outcome.name, outcome.fault) for outcome in outcomes if outcome.fault] == []
    assert len(outcomes) == asked == 120
    assert {outcome.code for outcome in outcomes} == {0, 2}


def test_no_damaged_table_picture_or_recording_ends_in_a_traceback(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outcomes, asked = damage(tmp_path, 25, 2, processes=1, seconds=300, kinds=["tables", "media"])
    assert [(outcome.name, outcome.fault) for outcome in outcomes if outcome.fault] == []
    assert len(outcomes) == asked == 25


@pytest.mark.parametrize(
    ("code", "fault"), [("raise KeyError(1)", "KeyError"), ("print('no')", "exit code 1"), ("x = [open('/tmp/x')]", "")]
)
def test_a_fault_is_seen(code, fault, monkeypatch):
    def main(arguments):
        exec(code, {"open": lambda _: None})
        return 1 if "print" in code else 0

    monkeypatch.setattr("hftransfer.cli.main", main)
    assert fault in call("x", [], []).fault
