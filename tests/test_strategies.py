"""What a strategy keeps and changes, on tiny models of several families."""

import numpy as np
import pytest
import torch
import transformers
from datasets import Dataset

from hftransfer import plugins
from hftransfer.encoding import Encoded
from hftransfer.strategies import Ground

TOKENS = {"vocab_size": 50, "num_labels": 3}
SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
PIXELS = {"image_size": 16, "patch_size": 8, "num_labels": 3}
FAMILIES = {
    "bert": (TOKENS | SMALL, "AutoModelForSequenceClassification"),
    "roberta": (TOKENS | SMALL, "AutoModelForSequenceClassification"),
    "electra": (TOKENS | SMALL | {"embedding_size": 16}, "AutoModelForSequenceClassification"),
    "distilbert": (TOKENS | {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32},
                   "AutoModelForSequenceClassification"),
    "vit": (PIXELS | SMALL, "AutoModelForImageClassification"),
    "dinov2": (PIXELS | SMALL, "AutoModelForImageClassification"),
    "swin": (PIXELS | {"image_size": 32, "patch_size": 2, "embed_dim": 8, "depths": [1, 1], "num_heads": [2, 2],
                       "window_size": 2}, "AutoModelForImageClassification"),
    "resnet": ({"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "num_labels": 3},
               "AutoModelForImageClassification"),
}  # fmt: skip


def _model(family):
    fields, auto = FAMILIES[family]
    torch.manual_seed(0)
    return getattr(transformers, auto).from_config(transformers.AutoConfig.for_model(family, **fields)).eval()


def _rows(family, model):
    generator = np.random.default_rng(0)
    if "Image" in FAMILIES[family][1]:
        side = getattr(model.config, "image_size", 16)
        columns = {"pixel_values": generator.normal(size=(6, 3, side, side)).astype("float32")}
    else:
        columns = {"input_ids": generator.integers(5, 50, (6, 7)), "attention_mask": np.ones((6, 7), dtype=int)}
    rows = Dataset.from_dict({name: list(cells) for name, cells in columns.items()} | {"labels": [0, 1, 2, 0, 1, 2]})
    return rows.with_format("numpy")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_probe_on_kept_features_answers_as_the_whole_model(family, tmp_path):
    model = _model(family)
    rows = _rows(family, model)
    collate = transformers.default_data_collator
    batch = collate([rows[i] for i in range(6)])
    with torch.no_grad():
        before = model(**batch)
    probe = plugins.load("strategies", "linear_probe")()
    kept = probe.keep(probe.prepare(model), Ground(None, {}, Encoded({"train": rows}, collate), tmp_path, None))
    names = set(kept.splits["train"].column_names)
    assert names - {"labels"} and all(name.startswith("kept_") for name in names - {"labels"})
    with torch.no_grad():
        after = model(**kept.collate([kept.splits["train"][i] for i in range(6)]))
    torch.testing.assert_close(after.logits, before.logits)
    torch.testing.assert_close(after.loss, before.loss)
    merged = probe.merge(model)
    with torch.no_grad():
        torch.testing.assert_close(merged(**batch).logits, before.logits)


@pytest.mark.parametrize("fields", [{}, {"use_dora": True}, {"use_rslora": True}], ids=["lora", "dora", "rslora"])
@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "resnet"])
def test_adapters_are_found_trained_and_merged(family, fields):
    model = _model(family)
    lora = plugins.load("strategies", "lora")(r=2, **fields)
    batch = transformers.default_data_collator([_rows(family, model)[i] for i in range(6)])
    wrapped = lora.prepare(model)
    optimizer = torch.optim.SGD([p for p in wrapped.parameters() if p.requires_grad], lr=0.1)
    for _ in range(2):
        wrapped(**batch).loss.backward()
        optimizer.step()
    wrapped.eval()
    with torch.no_grad():
        trained = wrapped(**batch).logits
        merged = lora.merge(wrapped)
        torch.testing.assert_close(merged(**batch).logits, trained, atol=1e-5, rtol=1e-4)
    assert type(merged) is type(_model(family))


def test_lora_says_where_it_finds_nothing():
    from hftransfer.errors import ModelError

    with pytest.raises(ModelError, match="no Linear layer"):
        plugins.load("strategies", "lora")().prepare(_model("resnet"))
