"""Exports of a tuned model: the search for a variant within `max_drop`, what is refused, and latency."""

import json
import os
import signal

import numpy as np
import processes
import pytest
import tiny

from hftransfer.cli import main
from hftransfer.core import plugins
from hftransfer.core.errors import ExportError, RecipeError
from hftransfer.core.results import RunResult
from hftransfer.recipe.loader import parse_export, parse_recipe
from hftransfer.reporting.report import terminal
from hftransfer.runner import export_search
from hftransfer.runner.pipeline import run
from hftransfer.runner.plan import check

# One process, in which they share a finished run.
pytestmark = pytest.mark.xdist_group("exporting")


def _text(folder, task="text-classification", **export):
    fields = ", ".join(f"{key}: {value}" for key, value in ({"format": "onnx", "max_drop": 1.0} | export).items())
    return tiny.recipe(plugins.load("tasks", task)(), folder, more=f"export: {{{fields}}}")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("exports")


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """A finished run whose variant was searched for, on rows that no other test writes."""
    folder = tmp_path_factory.mktemp("searched")
    run(parse_recipe(_text(folder, quantization="auto", calibration=8)), folder / "searched")
    return folder / "searched"


def test_the_search_exports_the_best_of_what_it_tried(searched):
    result = RunResult.load(searched / "result.json")
    assert list(result.search) == ["fp32", "optimized", "int8", "int8-static"]
    assert all(it.drop == pytest.approx(0) for it in result.search.values())
    (best,) = [name for name, it in result.search.items() if it.reason is None]
    products = {name: it.p50_ms * it.bytes for name, it in result.search.items()}
    assert min(products, key=products.get) == best
    shipped = ["onnx", *([f"onnx-{best}"] if best != "fp32" else [])]
    assert list(result.exports) == shipped == [name for name in ("onnx", f"onnx-{best}") if (searched / name).is_dir()]
    assert f"'{best}' has a smaller product of time and size" in terminal(result)


def test_an_export_is_compared_with_pytorch_row_by_row(searched):
    facts = RunResult.load(searched / "result.json").exports["onnx"]
    assert facts.drop.value == facts.drop.low == facts.drop.high == 0 and facts.drop.count == 12
    assert len(facts.largest_differences) == 5 and facts.largest_differences[0][1] == facts.max_abs_diff < 1e-5


def test_a_killed_search_continues_after_what_it_tried(folder, tmp_path):
    text = _text(folder, quantization="auto", calibration=8)
    (tmp_path / "recipe.yaml").write_text(text)
    command = ["run", str(tmp_path / "recipe.yaml"), "--resume", "--out", str(tmp_path / "killed")]
    partial = tmp_path / "killed.partial"
    assert processes.kill_when(command, partial, "work/tried/int8-static.partial/*") == -9
    before = {name: (partial / "work" / "tried" / f"{name}.json").read_text() for name in ("fp32", "optimized", "int8")}
    assert not (partial / "work" / "tried" / "int8-static").exists() and not (tmp_path / "killed").exists()
    assert processes.finish(*command) == 0
    tried = RunResult.load(tmp_path / "killed" / "result.json").search
    assert all(tried[name].p50_ms == json.loads(it)["p50_ms"] for name, it in before.items())


class _FragileExporter:
    """An exporter whose static variant is right only where the two most sensitive groups of nodes are excluded."""

    name = "onnx"

    def __init__(self, real, broken):
        self.real, self.broken, self.made = real, broken, []

    def schemes(self, source):
        return ["int8-static"]

    def make_variant(self, scheme, source, folder, options, excluded_nodes):
        self.made.append(sorted(excluded_nodes))
        (folder / "excluded").write_text(" ".join(sorted(excluded_nodes)))

    def sensitive_nodes(self, source, options):
        return [["a", "b"], ["c"], ["d"], ["e"], ["f"]]

    def files(self, folder):
        return []

    def load(self, task, folder):
        fit = not (folder / "excluded").is_file() or {"a", "b", "c"} <= set((folder / "excluded").read_text().split())
        return self.real if fit else self.broken


def test_nodes_are_excluded_until_the_drop_is_small_enough(folder, tmp_path, monkeypatch):
    text = _text(folder, quantization="auto", max_drop=0.01)
    text = text.replace("num_train_epochs: 2", "num_train_epochs: 12, learning_rate: 1.0e-2")
    exporters = []

    def searched(self):
        model = self.context.tuned_model()
        exporters.append(_FragileExporter(model, tiny.Turned(model)))
        best, tried = real(export_search.Search(self.context, exporters[0], self.source, self.options))
        return None, tried

    real = export_search.Search.run
    monkeypatch.setattr(export_search.Search, "run", searched)
    tried = run(parse_recipe(text), tmp_path / "run").search
    assert list(tried) == ["fp32", "int8-static", "int8-static-excluded-1", "int8-static-excluded-2"]
    assert (
        exporters[0].made == [[], ["a", "b"], ["a", "b", "c"]] and tried["int8-static-excluded-2"].excluded_nodes == 3
    )
    assert "over 0.01" in tried["int8-static"].reason and "over 0.01" in tried["int8-static-excluded-1"].reason


def test_the_sensitive_nodes_are_found_by_measuring(searched, tmp_path):
    from hftransfer.exporters import ExportOptions
    from hftransfer.exporters._quantization import first_outputs
    from hftransfer.exporters.onnx import Onnx

    rows = [{"input_ids": np.array([[2, 5 + i, 9, 3]]), "attention_mask": np.ones((1, 4), int)} for i in range(4)]
    rows = [row | {"token_type_ids": np.zeros((1, 4), int)} for row in rows]
    groups = Onnx().sensitive_nodes(searched / "onnx", ExportOptions(rows=lambda: rows))
    assert len(groups) > 5 and all(len({name.count("layer") for name in group}) == 1 for group in groups)
    assert sum(map(len, groups)) == len({name for group in groups for name in group})
    # A group by itself moves the outputs the less, the later it stands.
    moved = []
    for nodes in (groups[0], groups[-1]):
        others = [name for group in groups for name in group if name not in nodes]
        Onnx().make_variant(
            "int8-static", searched / "onnx", tmp_path, ExportOptions(rows=lambda: rows), frozenset(others)
        )
        pairs = zip(
            *(first_outputs(place / "model.onnx", rows) for place in (tmp_path, searched / "onnx")), strict=True
        )
        moved.append(np.mean([np.abs(one - other).mean() for one, other in pairs]))
    assert moved[0] > moved[1]


@pytest.mark.parametrize("quantization", ["static-int8", "weight-int4"])
def test_a_weight_norm_is_exported(quantization, folder, tmp_path):
    text = _text(folder, task="audio-classification", quantization=quantization, calibration=4)
    result = run(parse_recipe(text), tmp_path / "run")
    (variant,) = set(result.exports) - {"onnx"}
    assert result.exports[variant].agreement == 1 and result.exports["onnx"].max_abs_diff < 1e-4


def test_a_generative_model_is_quantized_to_int4_and_not_calibrated(folder, tmp_path):
    result = run(parse_recipe(_text(folder, task="text-generation", quantization="weight-int4")), tmp_path / "run")
    assert result.exports["onnx-int4"].bytes < result.exports["onnx"].bytes
    outputs = np.load(tmp_path / "run" / "predictions" / "test.npz")
    np.testing.assert_array_equal(outputs["onnx.ids"], outputs["tuned.ids"])
    for task, fields in (("translation", {"quantization": "static-int8"}), ("text-generation", {"optimize": "O2"})):
        with pytest.raises(ExportError, match="a generative model is neither optimized nor calibrated"):
            check(parse_recipe(_text(folder, task=task, **fields)))


def test_what_export_may_say(folder):
    assert parse_export(["quantization=auto", "max_drop=0.02"]).max_drop == 0.02
    with pytest.raises(RecipeError, match="unknown key 'export.quantisation'; did you mean 'quantization'"):
        parse_export(["quantisation=auto"])
    with pytest.raises(RecipeError, match="export.metric: the run is not scored by 'acuracy'; did you mean 'accuracy'"):
        check(parse_recipe(_text(folder, metric="acuracy")))


def test_bench_times_every_variant_in_turns(searched, capsys):
    assert main(["bench", str(searched), "--batch", "0"]) == 2
    assert "--batch: at least 1" in capsys.readouterr().err
    assert main(["bench", str(searched), "--without", "onnyx"]) == 2
    assert "the run has no variant 'onnyx'" in capsys.readouterr().err
    result = RunResult.load(searched / "result.json")
    # Compiling takes half a minute, of which nothing is of this package.
    command = ["bench", str(searched), "--batch", "2", "--threads", "1", "--calls", "5", "--without", "pytorch-compile"]
    assert main(command) == 0
    told = capsys.readouterr().out
    found = json.loads((searched / "bench.json").read_text())
    assert {"pytorch", *result.exports} <= {it["variant"] for it in found} and (searched / "bench.png").is_file()
    for it in found:
        assert it["variant"] in told
        assert len(it["milliseconds"]) == 5 or (it["reason"] and it["variant"] == "pytorch-bf16")


def _chained(folder, steps="[{name: distill, layers: 1}, {name: prune, width: 0.5}, quantize]"):
    return _text(folder).replace("strategy: full", f"strategy: full\ncompress: {steps}")


def test_a_chain_of_compression_tells_of_each_step(folder, tmp_path):
    result = run(parse_recipe(_chained(folder)), tmp_path / "run")
    steps = result.compression_steps
    assert list(steps) == ["1-full", "2-distill"] and steps.keys() <= result.scores["test"].keys()
    assert steps["1-full"].bytes > steps["2-distill"].bytes > result.pytorch.bytes
    assert not result.transfer_gain and "Compression, step by step" in terminal(result)
    config = json.loads((tmp_path / "run" / "model" / "config.json").read_text())
    assert config["num_hidden_layers"] == 1 and config["intermediate_size"] == 16
    outputs = np.load(tmp_path / "run" / "predictions" / "test.npz")
    assert np.abs(outputs["1-full.logits"] - outputs["onnx.logits"]).max() > 1e-6
    again = main(["export", str(tmp_path / "run"), "quantization=none", "max_drop=1"])
    assert again == 0
    assert list(RunResult.load(tmp_path / "run" / "result.json").compression_steps) == ["1-full", "2-distill"]


@pytest.mark.parametrize(
    ("steps", "sentence"),
    [
        ("[quantize, {name: prune, width: 0.5}]", "'quantize' stands last in 'compress'"),
        ("[{name: prune}]", "give attention_heads, width or weights"),
        ("[{name: prun, width: 0.5}]", "did you mean 'prune'"),
    ],
)
def test_what_compress_may_say(steps, sentence, folder):
    with pytest.raises(RecipeError, match=sentence):
        parse_recipe(_chained(folder, steps))
    with pytest.raises(RecipeError, match="strategy 'distill' needs 'teacher'"):
        parse_recipe(_text(folder).replace("strategy: full", "strategy: {name: distill, layers: 1}"))


@pytest.mark.parametrize(("task", "reads"), [("text-classification", 2), ("token-classification", 0)])
def test_what_is_needed_of_the_first_token_alone_is_computed_for_it_alone(task, reads, tmp_path):
    import onnx

    task = plugins.load("tasks", task)()
    result = run(parse_recipe(tiny.recipe(task, tmp_path, more="export: {format: onnx}")), tmp_path / "run")
    graph = onnx.load(tmp_path / "run" / "onnx" / "model.onnx").graph
    assert sum("first_token" in node.input for node in graph.node) == reads
    assert result.exports["onnx"].agreement == 1 and result.exports["onnx"].max_abs_diff < 1e-4


def test_padding_is_folded_into_convolutions(tmp_path):
    import onnx
    import torch
    from transformers import MobileNetV2Config, MobileNetV2ForImageClassification, MobileNetV2ImageProcessor

    from hftransfer.exporters import TrainedModel, resolve_through

    model = MobileNetV2ForImageClassification(MobileNetV2Config(image_size=32, depth_multiplier=0.35)).eval()
    exporter = plugins.load("exporters", "onnx")()
    model.save_pretrained(tmp_path / "saved")
    example = {"pixel_values": torch.randn(2, 3, 32, 32)}
    task, processor = plugins.load("tasks", "image-classification")(), MobileNetV2ImageProcessor()
    config = model.config
    trained = TrainedModel(task, model, processor, tmp_path / "saved", example)
    exporter.export(trained, resolve_through("auto", task.auto_model, config), tmp_path)
    graph = onnx.load(tmp_path / "model.onnx").graph
    assert {node.op_type for node in graph.node} >= {"Conv", "Clip"} and "Pad" not in {n.op_type for n in graph.node}
    assert (
        all(not tensor.name.endswith("partial") for tensor in graph.initializer)
        and len([*tmp_path.glob("*.onnx*")]) == 1
    )


def test_the_first_token_is_found_past_an_input_that_is_left_out():
    import onnx.reference
    from onnx import TensorProto, helper

    from hftransfer.exporters._simplification import compute_first_token_only

    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["m"]),
        helper.make_node("Clip", ["m", "", "most"], ["c"]),
        helper.make_node("Gather", ["c", "zero"], ["y"], axis=1),
    ]
    weights = [
        helper.make_tensor("w", TensorProto.FLOAT, [2, 2], [1, 2, 3, 4]),
        helper.make_tensor("most", TensorProto.FLOAT, [], [5]),
        helper.make_tensor("zero", TensorProto.INT64, [], [0]),
    ]
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("x", ["b", "t", 2]), ("y", ["b", 2]))]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], weights)
    model = onnx.shape_inference.infer_shapes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]))
    compute_first_token_only(model.graph)
    onnx.checker.check_model(model)
    assert [node.op_type for node in model.graph.node] == ["Gather", "MatMul", "Clip"]
    (answer,) = onnx.reference.ReferenceEvaluator(model).run(None, {"x": np.array([[[1, 0], [9, 9]]], "float32")})
    assert answer.tolist() == [[1, 2]]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_within_a_trace_ends_the_run_as_elsewhere(number, code, tmp_path, monkeypatch, capfd):
    """What a library raises while it is stopped is no failure of the export."""
    from torch.fx.experimental import proxy_tensor

    def stopped(*args, **kwargs):
        try:
            os.kill(os.getpid(), number)
        finally:
            raise RuntimeError("Trying to pop empty mode stack")

    monkeypatch.setattr(proxy_tensor, "dispatch_trace", stopped)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(tiny.recipe(plugins.load("tasks", "text-classification")(), tmp_path, more=tiny.EXPORT))
    assert main(["run", str(recipe), "--out", str(tmp_path / "run")]) == code
    assert "the same command with --resume continues" in capfd.readouterr().err
