"""What exporters and runtimes raise, as one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hftransfer.core.errors import ExportError
from hftransfer.core.termination import interruption_of

if TYPE_CHECKING:
    from transformers import PretrainedConfig


def read_config(folder: Path) -> PretrainedConfig:
    """The config of an exported model.

    Raises:
        ExportError: it is missing or damaged.
    """
    from transformers import AutoConfig

    with as_export_error(f"'{folder / 'config.json'}' cannot be read", AttributeError, OSError):
        return AutoConfig.from_pretrained(folder)


@contextmanager
def as_export_error(failure: str, *runtime_errors: type[Exception]) -> Iterator[None]:
    """Turn what an exporter raises, and a runtime's own exceptions, into an ExportError that begins with the failure.

    Raises:
        ExportError: any of them.
        KeyboardInterrupt, Terminated: the failure came of it.
    """
    errors: tuple[type[Exception], ...] = (KeyError, ValueError, TypeError, RuntimeError, NotImplementedError)
    try:
        yield
    except (*errors, *runtime_errors) as error:
        if (interruption := interruption_of(error)) is not None:
            raise interruption from None
        raise ExportError(f"{failure}: {' '.join(str(error).split())[:300]}") from error
