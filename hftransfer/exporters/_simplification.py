"""An ONNX graph that computes the same with less work."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from onnx import GraphProto, ModelProto, NodeProto, TensorProto

# Operators that compute a token's output from the same token of each input.
_TOKENWISE = {"Add", "Sub", "Mul", "Div", "Pow", "Sqrt", "Erf", "Tanh", "Sigmoid", "Relu", "Gelu", "Clip", "Cast"}
_FIRST = "first_token"
# protobuf writes no more than 2 GiB, and constant folding may make a file larger.
_MAX_BYTES = 2**30


def simplify(file: Path) -> None:
    """Simplify the graph in a file; a large one, or one with its weights in another file, is left as it is.

    The runtime's basic optimizations fold constants, and move padding into the convolution that follows, without which
    a quantized net pads in fp32 (https://onnxruntime.ai/docs/performance/model-optimizations/graph-optimizations.html).
    Then what is needed of the first token alone is computed for the first token alone.
    """
    import onnx
    import onnxruntime

    if file.with_name(file.name + ".data").exists() or file.stat().st_size > _MAX_BYTES:
        return
    partial = file.with_name(file.name + ".partial")
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(partial)
    onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    model = onnx.shape_inference.infer_shapes(onnx.load(partial), data_prop=True)
    if not _has_subgraphs(model.graph):
        # Subgraphs may read any tensor, which `compute_first_token_only` does not look for.
        compute_first_token_only(model.graph)
        _remove_unused_domains(model)
    onnx.save(model, partial)
    partial.replace(file)


def _has_subgraphs(graph: GraphProto) -> bool:
    return any(attribute.HasField("g") or attribute.graphs for node in graph.node for attribute in node.attribute)


def _remove_unused_domains(model: ModelProto) -> None:
    """The ONNX runtime declares all operator domains that it knows; other runtimes refuse those they do not know."""
    used_domains = {node.domain for node in model.graph.node}
    used = [opset for opset in model.opset_import if opset.domain in used_domains]
    del model.opset_import[:]
    model.opset_import.extend(used)


def compute_first_token_only(graph: GraphProto) -> None:
    """Where a head reads only the first token (`[CLS]`), compute what it reads for that token alone, in place.

    In the last block of a transformer these are the feed-forward and the projection after the attention: the nodes back
    to where tokens are mixed.

    Args:
        graph: A graph without subgraphs, whose `value_info` has the shapes of its tensors.
    """
    from onnx import helper

    tensors = _Tensors(graph)
    narrowed = tensors.needed_for_first_token()
    # Narrowed tensor -> the output of the node that took its first token, which is removed.
    selected = {node.input[0]: node.output[0] for node in tensors.first_token_reads if node.input[0] in narrowed}
    if not selected:
        return
    nodes: list[NodeProto] = []
    gathered: set[str] = set()
    for node in graph.node:
        output = node.output[0]
        if output in selected.values():
            continue
        if output in narrowed:
            # Inputs with all tokens: of these the first is taken before the node instead of after it.
            first = {name: f"{name}/{_FIRST}" for name in tensors.variable_inputs(node) if name not in narrowed}
            for name in sorted(first.keys() - gathered):
                nodes.append(helper.make_node("Gather", [name, _FIRST], [first[name]], first[name], axis=1))
            gathered |= first.keys()
            node.input[:] = [first.get(name, name) for name in node.input]
            node.output[0] = selected.get(output, output)
        nodes.append(node)
    graph.initializer.append(helper.make_tensor(_FIRST, 7, [], [0]))
    # The shapes of the narrowed tensors are no longer right.
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)


@dataclass(frozen=True)
class _Tensors:
    """The tensors of a graph: constants, numbers of axes, and which of them are needed for the first token alone."""

    graph: GraphProto

    @cached_property
    def constants(self) -> dict[str, TensorProto]:
        return {tensor.name: tensor for tensor in self.graph.initializer}

    @cached_property
    def ranks(self) -> dict[str, int]:
        """Tensor -> its number of axes, where that is known."""
        values = itertools.chain(self.graph.input, self.graph.value_info, self.graph.output)
        shaped = (value for value in values if value.type.tensor_type.HasField("shape"))
        ranks = {value.name: len(value.type.tensor_type.shape.dim) for value in shaped}
        return ranks | {name: len(tensor.dims) for name, tensor in self.constants.items()}

    @cached_property
    def uses(self) -> Counter[str]:
        """Tensor -> how often it is read."""
        outputs = (value.name for value in self.graph.output)
        return Counter(itertools.chain(outputs, *(node.input for node in self.graph.node)))

    @cached_property
    def first_token_reads(self) -> list[NodeProto]:
        """The nodes that take the first token of a tensor which no other node reads."""
        return [node for node in self.graph.node if self._takes_first(node) and self.uses[node.input[0]] == 1]

    def needed_for_first_token(self) -> set[str]:
        """Tensors computed token by token, of which nothing but the first token is used further on."""
        candidates = {node.input[0] for node in self.first_token_reads}
        uses_by_narrowed: Counter[str] = Counter()
        narrowed: set[str] = set()
        for node in reversed(self.graph.node):
            if len(node.output) == 1 and node.output[0] in candidates and self._is_tokenwise(node):
                narrowed.add(node.output[0])
                uses_by_narrowed.update(node.input)
                inputs = self.variable_inputs(node)
                candidates.update(name for name in inputs if uses_by_narrowed[name] == self.uses[name])
        return narrowed

    def variable_inputs(self, node: NodeProto) -> Iterator[str]:
        """The inputs of a node that are not constant."""
        return (name for name in node.input if name and name not in self.constants)

    def _takes_first(self, node: NodeProto) -> bool:
        from onnx import numpy_helper

        if node.op_type != "Gather" or node.input[1] not in self.constants:
            return False
        index = numpy_helper.to_array(self.constants[node.input[1]])
        return self.ranks.get(node.input[0]) == 3 and _axis(node, 0) == 1 and index.ndim == 0 and bool(index == 0)

    def _is_tokenwise(self, node: NodeProto) -> bool:
        """Whether each token of the output depends on the same token of the inputs alone, all with three axes."""
        inputs = [self.ranks.get(name) for name in self.variable_inputs(node)]
        weights = [self.ranks[name] for name in node.input if name in self.constants]
        if not inputs or set(inputs) != {3}:
            return False
        if node.op_type == "MatMul":
            return node.input[1] in self.constants and weights == [2]
        if node.op_type == "LayerNormalization":
            return _axis(node, -1) == -1
        return node.op_type in _TOKENWISE and all(rank <= 1 for rank in weights)


def _axis(node: NodeProto, default: int) -> int:
    return next((int(attribute.i) for attribute in node.attribute if attribute.name == "axis"), default)
