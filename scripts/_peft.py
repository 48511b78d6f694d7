"""Which PEFT methods work with which families of models, tested on tiny ones; `scripts/docs` writes docs/peft.md."""

import tempfile
import warnings
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parent.parent / "docs" / "peft.md"

TOKENS = {"vocab_size": 50, "num_labels": 3}
SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
PIXELS = {"image_size": 16, "patch_size": 8, "num_labels": 3}
TEXT, IMAGE = "AutoModelForSequenceClassification", "AutoModelForImageClassification"
FAMILIES = {
    "bert": (TOKENS | SMALL, TEXT),
    "roberta": (TOKENS | SMALL, TEXT),
    "electra": (TOKENS | SMALL | {"embedding_size": 16}, TEXT),
    "distilbert": (TOKENS | {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32}, TEXT),
    "vit": (PIXELS | SMALL, IMAGE),
    "dinov2": (PIXELS | SMALL, IMAGE),
    "swin": (PIXELS | {"image_size": 32, "patch_size": 2, "embed_dim": 8, "depths": [1, 1], "num_heads": [2, 2],
                       "window_size": 2}, IMAGE),
    "resnet": ({"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "num_labels": 3}, IMAGE),
}  # fmt: skip
# Fields whose defaults are too large for models with 8 and 16 units.
SIZES: dict[str, dict[str, Any]] = {
    "c3a": {"block_size": 4},
    "fourierft": {"n_frequency": 16},
    "miss": {"r": 4},
    "psoft": {"r": 4},
    "road": {"group_size": 8},
    "shira": {"r": 2},
    "supertuning": {"sparsity": 0.5},
    "vblora": {"vector_length": 4},
    "waveft": {"n_frequency": 16},
}
HEAD = """# PEFT methods

Which methods work with which families of models as `strategy: {name: peft, method: METHOD, config: {...}}`. Each cell
was tested on a tiny model of the family, with the method's default fields or smaller ones. `yes`: training changes the
outputs, the adapter is saved and loaded with equal outputs, and the merged model has equal outputs. `scripts/docs`
writes this page.

"""


def model(family: str) -> Any:
    """A tiny model of a family, with the same weights each time."""
    import torch
    import transformers

    fields, auto = FAMILIES[family]
    torch.manual_seed(0)
    return getattr(transformers, auto).from_config(transformers.AutoConfig.for_model(family, **fields)).eval()


def batch(family: str, classifier: Any) -> dict[str, Any]:
    """Six rows for a model of a family."""
    import torch

    generator = torch.Generator().manual_seed(0)
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    if FAMILIES[family][1] == IMAGE:
        side = getattr(classifier.config, "image_size", 16)
        return {"pixel_values": torch.randn((6, 3, side, side), generator=generator), "labels": labels}
    ids = torch.randint(5, 50, (6, 7), generator=generator)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}


def try_method(method: str, family: str) -> str:
    """`yes`, or why a method does not work with a family."""
    import torch
    from peft import PeftModel

    from hftransfer.core import plugins
    from hftransfer.core.errors import ModelError

    classifier = model(family)
    rows = batch(family, classifier)
    strategy = plugins.load("strategies", "peft")(method=method, config=SIZES.get(method, {}))

    def logits(any_model: Any) -> Any:
        with torch.no_grad():
            return any_model.eval()(**rows).logits

    try:
        adapted = strategy.prepare(classifier)
        before = logits(adapted)
        optimizer = torch.optim.AdamW([p for p in adapted.parameters() if p.requires_grad], lr=1e-2)
        for _ in range(3):
            adapted.train()(**rows).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        after = logits(adapted)
        with tempfile.TemporaryDirectory() as folder:
            adapted.save_pretrained(folder)
            loaded = logits(PeftModel.from_pretrained(model(family), folder))
        merged = logits(strategy.merge(adapted))
    except ModelError as error:
        return "nothing to adapt" if "finds nothing" in str(error) else "refused"
    checks = {
        "does not train": not torch.allclose(before, after, atol=1e-4),
        "other outputs when loaded": torch.allclose(after, loaded, atol=1e-4),
        "other outputs when merged": torch.allclose(after, merged, atol=1e-4),
    }
    return next((fault for fault, passed in checks.items() if not passed), "yes")


def methods() -> list[str]:
    """The methods that the strategy accepts."""
    from hftransfer.strategies.peft import mergeable

    return sorted(mergeable())


def column(family: str) -> list[str]:
    """How each method works with a family."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [try_method(method, family) for method in methods()]


def page() -> str:
    """The whole of docs/peft.md."""
    from importlib.metadata import version

    rows = zip(methods(), *map(column, FAMILIES), strict=True)
    lines = [["method", *FAMILIES], ["---"] * (len(FAMILIES) + 1), *rows]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    refused = "Methods whose adapter cannot be merged into its model (`prompt_tuning`, `prefix_tuning`) are refused."
    return f"{HEAD}PEFT {version('peft')}. {refused}\n\n{table}\n"


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")
