"""Other libraries' messages, kept off the terminal while they export or quantize."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator


@contextlib.contextmanager
def without_messages() -> Iterator[None]:
    """Leave out what is logged up to the level of warnings, and what is printed."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(disabled)
