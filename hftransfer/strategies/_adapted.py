"""What the strategies share that add to a frozen checkpoint through PEFT: https://huggingface.co/docs/peft."""

from typing import Any

from hftransfer.core.errors import ModelError
from hftransfer.core.plugins import nearest
from hftransfer.models.layers import encoder, head_names
from hftransfer.strategies import Strategy


class _Adapted(Strategy):
    """Train what a method adds to a frozen checkpoint, and the head; merged into the model that ships."""

    def attach(self, model: Any, config_class: Any, fields: dict[str, Any]) -> Any:
        """The model wrapped by PEFT; its head, and what `modules_to_save` of the fields names, train in full.

        Raises:
            ModelError: a named module is not there, or the method refuses the model's layers.
        """
        from peft import get_peft_model

        more = fields.get("modules_to_save") or []
        more = [more] if isinstance(more, str) else more
        check_modules(model, "modules_to_save", more)
        config = {**fields, "modules_to_save": [*_head(model), *more] or None}
        try:
            adapted = get_peft_model(model, config_class(**config))
        except (TypeError, ValueError, AssertionError, AttributeError, RuntimeError) as error:
            raise self._refused(model, error) from None
        # PEFT would look the base up at every checkpoint, and save embeddings where it finds another vocabulary there.
        adapted.peft_config["default"].base_model_name_or_path = ""
        return adapted

    def adapter(self, model: Any) -> Any:
        return model

    def merge(self, model: Any) -> Any:
        """The plain model with the update in its weights.

        Raises:
            ModelError: the method cannot write its update into such layers.
        """
        try:
            return model.merge_and_unload()
        except (ValueError, NotImplementedError) as error:
            raise self._refused(model.get_base_model(), error) from None

    def _refused(self, model: Any, error: Exception) -> ModelError:
        method = getattr(self, "method", self.name)
        return ModelError(f"{method} refuses a {type(model).__name__}: {' '.join(str(error).split())[:300]}")


def check_modules(model: Any, key: str, named: list[str]) -> None:
    """Refuse names, or ends of names, that no module of the model has.

    Raises:
        ModelError: one of them.
    """
    holding = {name for name, module in model.named_modules() if any(True for _ in module.parameters())}
    for end in named:
        if not any(f".{name}".endswith(f".{end}") for name in holding):
            known = {name.rpartition(".")[2] for name in holding} - {""}
            raise ModelError(f"strategy.{key}: there is no module '{end}'; {nearest(end, known)}")


def _head(model: Any) -> list[str]:
    """The layers of the head; PEFT looks for weights in what it is told to save, and a head may be made of parts.

    A layer that shares the embeddings of the base stays with them.
    """
    shared = {id(parameter) for parameter in encoder(model).parameters()}
    return [
        name
        for head in head_names(model)
        for name, module in model.named_modules()
        if f"{name}.".startswith(f"{head}.")
        and not any(True for _ in module.children())
        and any(True for _ in module.parameters())
        and not any(id(parameter) in shared for parameter in module.parameters())
    ]
