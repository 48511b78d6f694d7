"""Progress of long stages: a bar on a terminal and in a notebook, one line a stage in a log file."""

import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sized
from typing import Any

from hftransfer.core.console import is_quiet
from hftransfer.core.ranks import is_main

# Read by `datasets` when it is imported, and by `huggingface_hub`, which Transformers follows.
_SWITCHES = ("HF_DATASETS_DISABLE_PROGRESS_BARS", "HF_HUB_DISABLE_PROGRESS_BARS")


def has_display() -> bool:
    """Whether a bar can be repainted: stderr is a terminal, or a notebook runs this process, the main one; not if
    only warnings are to be printed."""
    return is_main() and not is_quiet() and (sys.stderr.isatty() or "ipykernel" in sys.modules)


def hide_library_bars() -> None:
    """Switch off the bars of datasets, huggingface_hub and Transformers where they would fill a log file.

    To be called before those libraries are imported. A switch that the user has set keeps its value.
    """
    if not has_display():
        for name in _SWITCHES:
            os.environ.setdefault(name, "1")


class Progress:
    """`tqdm` with the arguments that this package uses; without a display, one line when the stage has ended.

    With `leave=False` the bar is removed at the end, and there is no line either.
    """

    def __init__(
        self,
        iterable: Iterable[Any] = (),
        *,
        desc: str,
        unit: str,
        total: int | None = None,
        leave: bool = True,
        disable: bool = False,
    ) -> None:
        """As for tqdm; `total` is needed where the iterable has no length."""
        # Not at the top of the file, since the command line imports it for `hide_library_bars` alone.
        from tqdm.auto import tqdm

        self.n = 0
        self.total = total if total is not None else len(iterable) if isinstance(iterable, Sized) else 0
        self._iterable, self._desc, self._unit = iterable, desc, unit
        self._has_line = leave and not disable and is_main() and not has_display() and not is_quiet()
        self._bar = tqdm(total=self.total, desc=desc, unit=unit, leave=leave, disable=disable or not has_display())
        self._start = time.monotonic()

    def __iter__(self) -> Iterator[Any]:
        """The items, each counted when the next is asked for."""
        with self:
            for item in self._iterable:
                yield item
                self.update()

    def __enter__(self) -> "Progress":
        """Nothing; the stage has begun already."""
        return self

    def __exit__(self, *_error: object) -> None:
        """End the stage, whether it has failed or not."""
        self.close()

    def update(self, count: int = 1) -> None:
        """Count so many more units as done."""
        self.n += count
        self._bar.update(count)

    def set_postfix(self, values: Mapping[str, object]) -> None:
        """Show numbers such as the loss after the bar."""
        self._bar.set_postfix(values)

    def close(self) -> None:
        """End the stage; a second call does nothing."""
        self._bar.close()
        if self._has_line:
            self._has_line = False
            done = f"{self.n:,}" if self.n == self.total else f"{self.n:,} of {self.total:,}"
            seconds = time.monotonic() - self._start
            print(f"{self._desc}: {done} {self._units()} in {seconds:.1f} s", file=sys.stderr, flush=True)

    def _units(self) -> str:
        plural = "es" if self._unit.endswith("ch") else "s"
        return self._unit if max(self.n, self.total) == 1 else self._unit + plural
