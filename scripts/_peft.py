"""Which method of PEFT works with which family of models, tried on tiny ones; `scripts/docs` writes docs/peft.md."""

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
# What is too large by default for models of 8 and 16 units.
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

What `strategy: {name: peft, method: METHOD, config: {...}}` does, by family of models. Each cell was tried on a tiny
model of the family, with the method's default fields or smaller ones: it trains (the outputs move), the adapter is
saved and read back with equal outputs, and merged into a plain model the outputs are equal again. This page is written
by `scripts/docs`.

"""


def model(family: str) -> Any:
    """A tiny model of a family, its weights the same each time."""
    import torch
    import transformers

    fields, auto = FAMILIES[family]
    torch.manual_seed(0)
    return getattr(transformers, auto).from_config(transformers.AutoConfig.for_model(family, **fields)).eval()


def batch(family: str, made: Any) -> dict[str, Any]:
    """Six rows for it."""
    import torch

    generator = torch.Generator().manual_seed(0)
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    if FAMILIES[family][1] == IMAGE:
        side = getattr(made.config, "image_size", 16)
        return {"pixel_values": torch.randn((6, 3, side, side), generator=generator), "labels": labels}
    ids = torch.randint(5, 50, (6, 7), generator=generator)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}


def tried(method: str, family: str) -> str:
    """`yes`, or why not."""
    import torch
    from peft import PeftModel

    from hftransfer.core import plugins
    from hftransfer.core.errors import ModelError

    plain = model(family)
    rows = batch(family, plain)
    strategy = plugins.load("strategies", "peft")(method=method, config=SIZES.get(method, {}))

    def logits(it: Any) -> Any:
        with torch.no_grad():
            return it.eval()(**rows).logits

    try:
        before = logits(wrapped := strategy.prepare(plain))
        optimizer = torch.optim.AdamW([p for p in wrapped.parameters() if p.requires_grad], lr=1e-2)
        for _ in range(3):
            wrapped.train()(**rows).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        after = logits(wrapped)
        with tempfile.TemporaryDirectory() as folder:
            wrapped.save_pretrained(folder)
            again = logits(PeftModel.from_pretrained(model(family), folder))
        merged = logits(strategy.merge(wrapped))
    except ModelError as error:
        return "nothing to adapt" if "finds nothing" in str(error) else "refused"
    facts = {
        "does not train": not torch.allclose(before, after, atol=1e-4),
        "is read back otherwise": torch.allclose(after, again, atol=1e-4),
        "merges otherwise": torch.allclose(after, merged, atol=1e-4),
    }
    return next((why for why, good in facts.items() if not good), "yes")


def methods() -> list[str]:
    """Those that the strategy takes."""
    from hftransfer.strategies.peft import mergeable

    return sorted(mergeable())


def column(family: str) -> list[str]:
    """What each method does with a family."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [tried(method, family) for method in methods()]


def page() -> str:
    """The whole of docs/peft.md."""
    from importlib.metadata import version

    rows = zip(methods(), *map(column, FAMILIES), strict=True)
    lines = [["method", *FAMILIES], ["---"] * (len(FAMILIES) + 1), *rows]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    known = "What cannot be merged into a plain model (`prompt_tuning`, `prefix_tuning` and their like) is refused."
    return f"{HEAD}PEFT {version('peft')}. {known}\n\n{table}\n"


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")
