"""What the stages of a run draw of electricity, as CodeCarbon estimates it without a network.

https://mlco2.github.io/codecarbon/methodology.html: measured where the machine tells it (RAPL, NVIDIA), else the
processor's nominal power times the load of this process, and a constant for the memory.
"""

import functools
import importlib.util
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass
class Energy:
    """Of one stage."""

    watt_hours: float | None = None
    """Known at the stage's end; None without CodeCarbon (the extra `energy`)."""


@contextmanager
def metered() -> Iterator[Energy]:
    """Estimate what the block draws; blocks are not nested."""
    found, meter = Energy(), _meter()
    if meter is None:
        yield found
        return
    meter.start_task()
    try:
        yield found
    finally:
        spent = meter.stop_task()
        found.watt_hours = 1000 * spent.energy_consumed if spent else None


@functools.cache
def _meter() -> Any:
    """The tracker of this process; what it finds out about the machine takes it two seconds."""
    if importlib.util.find_spec("codecarbon") is None:
        return None
    # It logs that it is there, before it can be told not to.
    logging.getLogger("codecarbon").disabled = True
    from codecarbon import OfflineEmissionsTracker

    # What is said here goes before a configuration file of the user's: nothing is written or sent.
    tracker = OfflineEmissionsTracker(
        country_iso_code="USA",
        force_carbon_intensity_g_co2e_kwh=0,
        tracking_mode="process",
        output_methods=[],
        output_dir=".",
        emissions_endpoint=None,
        api_call_interval=-1,
        allow_multiple_runs=True,
        log_level="critical",
    )
    # It keeps to itself that it could not be made.
    return tracker if hasattr(tracker, "run_id") else None
