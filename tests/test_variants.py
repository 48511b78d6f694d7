"""The names of variants and scored splits."""

import pytest

from hftransfer.core.variants import Variant, corrupted_split, parse_split, sort_variants


@pytest.mark.parametrize(
    ("name", "kind", "runtime", "scheme"),
    [
        ("majority", "baseline", "pytorch", ""),
        ("linear_probe", "baseline", "pytorch", ""),
        ("pretrained", "pretrained", "pytorch", ""),
        ("2-distill", "compression_step", "pytorch", ""),
        ("tuned", "tuned", "pytorch", ""),
        ("pytorch-bf16", "tuned", "pytorch", "bf16"),
        ("onnx", "export", "onnx", ""),
        ("openvino-int8-static", "export", "openvino", "int8-static"),
    ],
)
def test_a_name_is_taken_apart(name, kind, runtime, scheme):
    variant = Variant.parse(name)
    assert (variant.name, variant.kind, variant.runtime, variant.scheme) == (name, kind, runtime, scheme)


@pytest.mark.parametrize(
    "variant", [Variant.export("onnx"), Variant.export("onnx", "int8-static"), Variant.compression_step(2, "distill")]
)
def test_a_composed_name_is_parsed_back(variant):
    assert Variant.parse(variant.name) == variant


def test_options_are_not_part_of_the_base_scheme():
    assert [Variant.parse(name).base_scheme for name in ("onnx", "onnx-int4", "onnx-int8-static")] == [
        "",
        "int4",
        "int8",
    ]


def test_variants_are_sorted_by_kind():
    names = ["onnx-int8", "onnx", "tuned", "2-distill", "1-full", "pretrained", "full", "linear_probe", "majority"]
    assert sort_variants(names) == [
        "majority", "linear_probe", "full", "pretrained", "1-full", "2-distill", "tuned", "onnx", "onnx-int8",
    ]  # fmt: skip


@pytest.mark.parametrize(("split", "parts"), [("test", ("test", "")), ("test-noise", ("test", "noise"))])
def test_a_split_names_its_corruption(split, parts):
    assert parse_split(split) == parts
    assert corrupted_split("noise") == "test-noise"
