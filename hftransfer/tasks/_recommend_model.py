"""The model of recommendation: a causal transformer over the items that a user liked, each a vector of its text.

An item is what a linear layer makes of its frozen text vector, plus a vector of its own that starts at 0; its score is
the product with the state of the user, plus a bias that starts at half the logarithm of how often it was liked.
Self-attention over items as in SASRec (Kang and McAuley 2018, https://arxiv.org/abs/1808.09781, section III); softmax
over all items. The text encoder is read once, and is no part of what is saved.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from hftransfer.core.compat import model_classes
from hftransfer.core.errors import ModelError
from hftransfer.tasks._types import IGNORED

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PretrainedConfig, PreTrainedModel

FIELD = "recommender"
"""The field of the config that describes the model: see `Recommendation.config_fields`."""
# Texts that the encoder reads at once.
_BATCH = 64


@dataclass(frozen=True)
class ItemTexts:
    """What the vectors of items are made of."""

    texts: list[str]
    tokenizer: Any
    max_length: int
    pooling: str

    def vectors(self, encoder: PreTrainedModel) -> Tensor:
        """Vectors of length 1, shape (items, size)."""
        import torch

        order = sorted(range(len(self.texts)), key=lambda row: len(self.texts[row]))
        parts = []
        for start in range(0, len(order), _BATCH):
            texts = [self.texts[row] for row in order[start : start + _BATCH]]
            batch = self.tokenizer(
                texts, padding=True, truncation=True, max_length=self.max_length, return_tensors="pt"
            ).to(encoder.device)
            with torch.inference_mode():
                hidden, mask = encoder(**batch)[0], batch["attention_mask"][..., None]
            pooled = hidden[:, 0] if self.pooling == "first" else (hidden * mask).sum(1) / mask.sum(1)
            parts.append(torch.nn.functional.normalize(pooled.float().cpu(), dim=-1))
        vectors = torch.empty(len(order), parts[0].shape[1])
        vectors[order] = torch.cat(parts)
        return vectors


class RecommenderLoader:
    """Builds and loads recommenders, as an Auto class does; of a plain text encoder, one with vectors of its making."""

    def __init__(
        self, encoder_class: type[PreTrainedModel], description: dict[str, Any], texts: ItemTexts | None
    ) -> None:
        """Args: the class of the encoder, what `FIELD` holds before a training, and the texts, if they are known."""
        self.encoder_class, self.description, self.texts = encoder_class, description, texts
        made: Any = _recommender_class
        self.model_class: Any = made(encoder_class)
        # For messages.
        self.__name__ = self.model_class.__name__

    def from_config(self, config: PretrainedConfig) -> PreTrainedModel:
        """A recommender whose items are random directions."""
        if not hasattr(config, FIELD):
            setattr(config, FIELD, self.description)
        return self.model_class(config)

    def from_pretrained(self, path: str, *, output_loading_info: bool = False, **kwargs: Any) -> Any:
        """A recommender as it was saved or, of any other checkpoint, one over its vectors of the texts.

        Raises:
            ModelError: a recommender of other items is to be trained on, or the encoder's weights are missing.
        """
        config = kwargs.pop("config", None)
        hub = {name: kwargs[name] for name in ("revision", "trust_remote_code") if name in kwargs}
        stored: Any = self.encoder_class.config_class
        stored = stored.from_pretrained(path, **hub)
        if hasattr(stored, FIELD):
            if config is not None and getattr(config, FIELD)["items"] != getattr(stored, FIELD)["items"]:
                raise ModelError(f"'{path}' recommends other items; start from the text encoder instead")
            return self.model_class.from_pretrained(path, output_loading_info=output_loading_info, **kwargs)
        encoder, info = self.encoder_class.from_pretrained(path, output_loading_info=True, **kwargs)
        if {name for name, _ in encoder.named_parameters()} <= {*info["missing_keys"]}:
            raise ModelError(f"no weight of '{path}' has the name and shape of one of a {stored.model_type}")
        model = self.from_config(config if config is not None else stored)
        assert self.texts is not None
        model.vectors.copy_(self.texts.vectors(_on_device(encoder.eval())))
        nothing: dict[str, list[str]] = {"missing_keys": [], "unexpected_keys": [], "mismatched_keys": []}
        return (model, nothing) if output_loading_info else model


def _on_device(encoder: PreTrainedModel) -> Any:
    """The part of a model that reads texts, on a GPU where there is one."""
    import torch

    if encoder.config.is_encoder_decoder:
        encoder = encoder.get_encoder()
    return encoder.cuda() if torch.cuda.is_available() else encoder


def loader(config: PretrainedConfig, description: dict[str, Any], texts: ItemTexts | None) -> RecommenderLoader:
    """What loads the recommenders whose items are described by an encoder of this config."""
    encoder_class: Any = model_classes("AutoModel", config)[0]
    return RecommenderLoader(encoder_class, description, texts)


@cache
def _recommender_class(encoder_class: type[PreTrainedModel]) -> type[PreTrainedModel]:
    import torch
    from transformers import PreTrainedModel
    from transformers.utils import ModelOutput

    class SequenceRecommender(PreTrainedModel):
        """Item numbers in time order to scores of all items."""

        config_class = encoder_class.config_class
        base_model_prefix = ""
        main_input_name = "input_ids"

        def __init__(self, config: PretrainedConfig) -> None:
            super().__init__(config)
            how = getattr(config, FIELD)
            count, size, dropout = len(how["items"]), how["size"], how["dropout"]
            self.register_buffer("vectors", torch.nn.functional.normalize(torch.randn(count, config.hidden_size)))
            self.read = torch.nn.Linear(config.hidden_size, size)
            self.rank = torch.nn.Linear(config.hidden_size, size)
            self.items = torch.nn.Embedding(count, size)
            self.positions = torch.nn.Embedding(how["max_history"], size)
            self.blocks = torch.nn.ModuleList(
                _block(size, how["attention_heads"], dropout) for _ in range(how["layers"])
            )
            self.norm = torch.nn.LayerNorm(size)
            self.dropout = torch.nn.Dropout(dropout)
            self.popularity = torch.nn.Parameter(0.5 * torch.log1p(torch.tensor(how["popularity"]).float()))
            self.post_init()

        def _init_weights(self, module: nn.Module) -> None:
            if module is self.items:
                torch.nn.init.zeros_(module.weight)
            elif module is self.positions:
                torch.nn.init.normal_(module.weight, std=0.02)

        def forward(
            self,
            input_ids: Tensor,
            attention_mask: Tensor | None = None,
            labels: Tensor | None = None,
            **_: Any,
        ) -> ModelOutput:
            """`logits` of shape (rows, items), what may come next; with labels, of shape (rows, places), the `loss`.

            Args:
                input_ids: Item numbers in time order, padded on the right, shape (rows, places).
                attention_mask: 1 for items, 0 for padding, of the same shape.
                labels: At each place the number of the next item, or -100.
            """
            return _answer(self, input_ids, attention_mask, labels)

        def scores(self, state: Tensor) -> Tensor:
            """Of all items, shape (rows, items), for states of shape (rows, size)."""
            items = self.rank(self.vectors) + self.items.weight
            products: Tensor = state @ items.T / items.shape[1] ** 0.5
            return products + self.popularity

    return SequenceRecommender


def _answer(model: Any, input_ids: Tensor, mask: Tensor | None, labels: Tensor | None) -> Any:
    """What the model gives, as its `forward` says."""
    import torch
    from transformers.utils import ModelOutput

    places = torch.arange(input_ids.shape[1], device=input_ids.device)
    state = model.read(model.vectors[input_ids]) + model.items(input_ids)
    state = model.dropout(state) + model.positions(places)
    for block in model.blocks:
        state = block(state)
    state = model.norm(state)
    if labels is not None:
        kept = labels != IGNORED
        return ModelOutput(loss=torch.nn.functional.cross_entropy(model.scores(state[kept]), labels[kept]))
    if mask is None:
        return ModelOutput(logits=model.scores(state[:, -1]))
    # The last item of each row, without a look-up by row numbers, which fixes the batch of a graph.
    last = (places == mask.sum(dim=1, keepdim=True) - 1).to(state.dtype)
    return ModelOutput(logits=model.scores((state * last[..., None]).sum(dim=1)))


def _block(size: int, head_count: int, dropout: float) -> nn.Module:
    """A layer of causal self-attention and a feed-forward net, normalized before each."""
    import torch
    from torch.nn import functional

    class Block(torch.nn.Module):
        """(rows, places, size) to the same."""

        def __init__(self) -> None:
            super().__init__()
            self.before, self.between = torch.nn.LayerNorm(size), torch.nn.LayerNorm(size)
            self.attention, self.output = torch.nn.Linear(size, 3 * size), torch.nn.Linear(size, size)
            self.up, self.down = torch.nn.Linear(size, 2 * size), torch.nn.Linear(2 * size, size)
            self.dropout = torch.nn.Dropout(dropout)

        def forward(self, state: Tensor) -> Tensor:
            parts = self.attention(self.before(state)).chunk(3, dim=-1)
            query, key, value = (part.unflatten(-1, (head_count, size // head_count)).transpose(1, 2) for part in parts)
            attended = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
            state = state + self.dropout(self.output(attended.transpose(1, 2).flatten(2)))
            hidden: Tensor = self.dropout(self.down(functional.relu(self.up(self.between(state)))))
            return state + hidden

    return Block()
