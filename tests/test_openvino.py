"""OpenVINO: exports agree with PyTorch, and are pushed as Optimum reads them."""

import re
import subprocess
import sys

import numpy as np
import optimum_shell
import pytest
import tiny

from hftransfer.core import machine, plugins
from hftransfer.core.errors import ExportError, RecipeError
from hftransfer.recipe.loader import parse_recipe
from hftransfer.runner.pipeline import run
from hftransfer.runner.plan import check


def _text(folder, task="text-classification", **export):
    fields = ", ".join(f"{key}: {value}" for key, value in ({"format": "openvino", "max_drop": 1.0} | export).items())
    return tiny.recipe(plugins.load("tasks", task)(), folder, more=f"export: {{{fields}}}")


@pytest.mark.parametrize(
    ("task", "quantization"),
    [("object-detection", "none"), ("translation", "dynamic-int8"), ("text-generation", "weight-int4")],
)
def test_an_export_agrees_with_pytorch(task, quantization, tmp_path):
    result = run(parse_recipe(_text(tmp_path, task, quantization=quantization)), tmp_path / "run")
    assert result.exports["openvino"].agreement == 1 and result.exports["openvino"].max_abs_diff < 1e-3
    assert len(result.exports) == (1 if quantization == "none" else 2)
    _, snippets = tiny.card_snippets(plugins.load("tasks", task)(), tmp_path / "run", result, tmp_path)
    assert optimum_shell.run(*snippets)


_TWO_MODELS = """
import gc, signal, subprocess, sys
from pathlib import Path
from hftransfer.exporters.openvino import OpenVinoModel
signal.signal(signal.SIGCHLD, lambda *_: None)
first, second = (OpenVinoModel(Path(sys.argv[1])) for _ in range(2))
del first
gc.collect()
del second
gc.collect()
subprocess.run([sys.executable, "-c", ""], check=True)
"""


def test_a_signal_after_two_models_is_survived(tmp_path):
    """As in a run with `dataloader_num_workers`: PyTorch handles the signals of processes that end."""
    run(parse_recipe(_text(tmp_path, quantization="none")), tmp_path / "run")
    subprocess.run([sys.executable, "-c", _TWO_MODELS, str(tmp_path / "run" / "openvino")], check=True)


def test_the_search_and_the_snippet_of_the_card(tmp_path):
    result = run(parse_recipe(_text(tmp_path, quantization="auto", calibration=8)), tmp_path / "run")
    bf16 = ["bf16"] if machine.has_flag(*machine.BF16_FLAGS) else []
    assert list(result.search) == ["fp32", *bf16, "int8", "int8-static", "int4"]
    assert all(it.drop == pytest.approx(0) for it in result.search.values())
    repo = tiny.pushed(tmp_path / "run", result, tmp_path / "repo")
    shipped = {file.name for file in (repo / "openvino").iterdir()}
    assert {"openvino_model.xml", "openvino_model.bin", "config.json"} <= shipped
    text = (repo / "README.md").read_text()
    plain, exported = optimum_shell.run(*re.findall(r"```python\n(.*?)```", text, re.DOTALL)).strip().splitlines()
    # Of two texts a pipeline says one thing, not a list.
    mine, theirs = eval(plain), eval(exported)
    assert mine["label"] == theirs["label"] and mine["score"] == pytest.approx(theirs["score"], abs=1e-3)


def test_the_sensitive_nodes_are_found_by_measuring(tmp_path):
    from hftransfer.exporters import ExportOptions
    from hftransfer.exporters.openvino import OpenVino

    run(parse_recipe(_text(tmp_path, quantization="none")), tmp_path / "run")
    rows = [{"input_ids": np.array([[2, 5 + i, 9, 3]]), "attention_mask": np.ones((1, 4), int)} for i in range(4)]
    source, options = tmp_path / "run" / "openvino", ExportOptions(rows=lambda: rows)
    groups = OpenVino().sensitive_nodes(source, options)
    assert len(groups) > 5 and sum(map(len, groups)) == len({name for group in groups for name in group})
    # Nodes are excluded by their full names.
    for excluded_nodes in (frozenset(groups[0]), frozenset()):
        (tmp_path / f"{len(excluded_nodes)}").mkdir()
        OpenVino().make_variant("int8-static", source, tmp_path / f"{len(excluded_nodes)}", options, excluded_nodes)
    made = [(tmp_path / f"{count}" / "openvino_model.xml").read_text() for count in (len(groups[0]), 0)]
    assert made[0].count("FakeQuantize") < made[1].count("FakeQuantize")


def test_what_is_not_supported_is_refused_before_training(tmp_path):
    for task in ("translation", "text-generation"):
        with pytest.raises(ExportError, match="is not calibrated; use"):
            check(parse_recipe(_text(tmp_path, task, quantization="static-int8")))
    with pytest.raises(RecipeError, match="export.optimize: 'openvino' has no such option"):
        check(parse_recipe(_text(tmp_path, optimize="O2")))
