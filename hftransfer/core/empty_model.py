"""A model without memory for its weights: for its sizes and the names of its parts."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from hftransfer.core.errors import ModelError

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

# Fields that are missing, or do not fit each other.
_UNUSABLE = (AssertionError, AttributeError, LookupError, TypeError, ValueError)


def empty_model(auto_model: Any, config: PretrainedConfig) -> PreTrainedModel:
    """The model that an Auto class, or its name, makes of a config, on torch's meta device.

    Raises:
        ModelError: the config does not describe a model.
    """
    import torch
    import transformers

    try:
        with torch.device("meta"):
            loader = getattr(transformers, auto_model) if isinstance(auto_model, str) else auto_model
            model: PreTrainedModel = loader.from_config(copy.deepcopy(config))
            return model
    except (*_UNUSABLE, ArithmeticError, RuntimeError, ImportError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ModelError(f"no {config.model_type} model can be made of its config: {reason}") from None
