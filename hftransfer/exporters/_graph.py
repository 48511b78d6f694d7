"""An ONNX graph that computes the same with less."""

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

# What each token goes through by itself.
_BY_TOKEN = {"Add", "Sub", "Mul", "Div", "Pow", "Sqrt", "Erf", "Tanh", "Sigmoid", "Relu", "Gelu", "Clip", "Cast"}
_FIRST = "first_token"
# protobuf writes no more than 2 GiB, and what is computed beforehand may make a file larger.
_MOST_BYTES = 2**30


def simplify(file: Path) -> None:
    """Simplify the graph in a file; a large one, or one whose weights lie in another file, stays as it is.

    The runtime's basic optimizations compute what is constant, and put padding into the convolution behind it, without
    which a quantized net pads decimals (https://onnxruntime.ai/docs/performance/model-optimizations/graph-optimizations.html).
    Then what only the first token is read of is computed of it alone.
    """
    import onnx
    import onnxruntime

    if file.with_name(file.name + "_data").exists() or file.stat().st_size > _MOST_BYTES:
        return
    partial = file.with_name(file.name + ".partial")
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(partial)
    onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    model = onnx.shape_inference.infer_shapes(onnx.load(partial), data_prop=True)
    if not any(it.HasField("g") or it.graphs for node in model.graph.node for it in node.attribute):
        # Of subgraphs it would have to be known what they read.
        read_first_alone(model.graph)
        # The runtime names all domains that it knows, which other runtimes need not.
        needed = {node.domain for node in model.graph.node}
        kept = [it for it in model.opset_import if it.domain in needed]
        del model.opset_import[:]
        model.opset_import.extend(kept)
    onnx.save(model, partial)
    partial.replace(file)


def read_first_alone(graph: Any) -> None:
    """Where a head reads the first token alone (`[CLS]`), compute that alone, as far up as tokens do not meet.

    In the last block of a transformer these are the feed-forward and the projection behind the attention. Changes the
    graph, which has no subgraphs and the shapes of its tensors in `value_info`, in place.
    """
    from onnx import helper

    known = _Graph(graph)
    own = known.computed_for_first()
    read = {node.input[0]: node.output[0] for node in known.reads if node.input[0] in own}
    if not read:
        return
    nodes: list[Any] = []
    taken: set[str] = set()
    for node in graph.node:
        made = node.output[0]
        if made in read.values():
            continue
        if made in own:
            outside = {name: f"{name}/{_FIRST}" for name in known.values(node) if name not in own}
            for name in sorted(outside.keys() - taken):
                nodes.append(helper.make_node("Gather", [name, _FIRST], [outside[name]], outside[name], axis=1))
            taken |= outside.keys()
            node.input[:] = [outside.get(name, name) for name in node.input]
            node.output[0] = read.get(made, made)
        nodes.append(node)
    graph.initializer.append(helper.make_tensor(_FIRST, 7, [], [0]))
    # The shapes of what is computed of one token are others now.
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)


@dataclass(frozen=True)
class _Graph:
    """What has to be known of a graph."""

    graph: Any

    @cached_property
    def constants(self) -> dict[str, Any]:
        return {it.name: it for it in self.graph.initializer}

    @cached_property
    def ranks(self) -> dict[str, int]:
        """Tensor -> how many axes it has, where that is known."""
        values = itertools.chain(self.graph.input, self.graph.value_info, self.graph.output)
        told = (it for it in values if it.type.tensor_type.HasField("shape"))
        found = {it.name: len(it.type.tensor_type.shape.dim) for it in told}
        return found | {name: len(it.dims) for name, it in self.constants.items()}

    @cached_property
    def uses(self) -> Counter[str]:
        """Tensor -> how often it is read."""
        outputs = (it.name for it in self.graph.output)
        return Counter(itertools.chain(outputs, *(node.input for node in self.graph.node)))

    @cached_property
    def reads(self) -> list[Any]:
        """The nodes that take the first token out of what nothing else reads."""
        return [node for node in self.graph.node if self._reads_first(node) and self.uses[node.input[0]] == 1]

    def computed_for_first(self) -> set[str]:
        """Tensors, token by token, of which all that is computed of them comes to the first token alone."""
        wanted = {node.input[0] for node in self.reads}
        met: Counter[str] = Counter()
        own: set[str] = set()
        for node in reversed(self.graph.node):
            if len(node.output) == 1 and node.output[0] in wanted and self._is_by_token(node):
                own.add(node.output[0])
                met.update(node.input)
                wanted.update(name for name in self.values(node) if met[name] == self.uses[name])
        return own

    def values(self, node: Any) -> Iterator[str]:
        """What a node reads that is not constant."""
        return (name for name in node.input if name and name not in self.constants)

    def _reads_first(self, node: Any) -> bool:
        from onnx import numpy_helper

        if node.op_type != "Gather" or node.input[1] not in self.constants:
            return False
        index = numpy_helper.to_array(self.constants[node.input[1]])
        return self.ranks.get(node.input[0]) == 3 and _axis(node, 0) == 1 and index.ndim == 0 and index == 0

    def _is_by_token(self, node: Any) -> bool:
        """Whether a token of the node's output follows from the same token of its inputs of three axes."""
        values = [self.ranks.get(name) for name in self.values(node)]
        weights = [self.ranks[name] for name in node.input if name in self.constants]
        if not values or set(values) != {3}:
            return False
        if node.op_type == "MatMul":
            return node.input[1] in self.constants and weights == [2]
        if node.op_type == "LayerNormalization":
            return _axis(node, -1) == -1
        return node.op_type in _BY_TOKEN and all(rank <= 1 for rank in weights)


def _axis(node: Any, default: int) -> int:
    return next((int(it.i) for it in node.attribute if it.name == "axis"), default)
