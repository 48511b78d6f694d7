"""Commands of seconds, most of which are imports, without Python's search for garbage."""

import atexit
import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    """Free memory by reference counts alone, for what makes few cycles of objects and is over soon.

    Libraries that are imported are a million objects that stay. Looking through them again and again, and once more
    when Python exits, takes a quarter of the time of `hftransfer check`.
    """
    enabled = gc.isenabled()
    gc.disable()
    atexit.register(gc.freeze)
    try:
        yield
    finally:
        if enabled:
            gc.enable()
