"""The Python of a card: a recommender with torch alone, since its model is no class of Transformers."""

IMPORTS = """import json

import torch
from safetensors.torch import load_file
from torch.nn import functional
from transformers.utils import cached_file"""

LOAD = '''how = json.load(open(cached_file(repo, "config.json")))["recommender"]
weights = load_file(cached_file(repo, "model.safetensors"))
items = how["items"]  # ids


def linear(name, x):
    return x @ weights[name + ".weight"].T + weights[name + ".bias"]


def norm(name, x):
    return functional.layer_norm(x, x.shape[-1:], weights[name + ".weight"], weights[name + ".bias"])


def model(input_ids, attention_mask):
    """The scores of all items after the item numbers of one user, shape (1, items)."""
    numbers = input_ids[0]
    state = linear("read", weights["vectors"][numbers]) + weights["items.weight"][numbers]
    state = state + weights["positions.weight"][: len(numbers)]
    for block in [f"blocks.{number}." for number in range(how["layers"])]:
        parts = linear(block + "attention", norm(block + "before", state)).chunk(3, dim=-1)
        query, key, value = (part.unflatten(-1, (how["attention_heads"], -1)).transpose(0, 1) for part in parts)
        attended = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        state = state + linear(block + "output", attended.transpose(0, 1).flatten(1))
        state = state + linear(block + "down", functional.relu(linear(block + "up", norm(block + "between", state))))
    candidates = linear("rank", weights["vectors"]) + weights["items.weight"]
    scores = norm("norm", state)[-1:] @ candidates.T / how["size"] ** 0.5 + weights["popularity"]
    return {"logits": scores}'''

CALL = """liked = items[:2]  # the ids of what a user liked, in time order
numbers = [items.index(name) for name in liked]
input_ids = torch.tensor([numbers[-how["max_history"]:]])
scores = model(input_ids=input_ids, attention_mask=torch.ones_like(input_ids))["logits"][0]
scores[numbers] = -float("inf")
best = scores.argsort(descending=True, stable=True)[:10].tolist()
answer = [{"id": items[number], "score": float(scores[number])} for number in best]"""

USAGE = (IMPORTS, LOAD, CALL)
"""How the card imports, opens and asks the model `repo`."""
