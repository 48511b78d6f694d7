"""Other libraries' messages, kept off the terminal while they export or quantize."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator

from hftransfer.core.console import is_verbose


@contextlib.contextmanager
def without_messages() -> Iterator[None]:
    """Leave out what is logged up to the level of warnings, and what is printed; not with `-v`."""
    if is_verbose():
        yield
        return
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(disabled)
