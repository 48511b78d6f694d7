"""Electric energy of the stages of a run, estimated by CodeCarbon without a network.

Measured where the machine has counters (RAPL, NVIDIA); else the processor's nominal power times the load of this
process, and a constant for the memory: https://mlco2.github.io/codecarbon/methodology.html.
"""

from __future__ import annotations

import functools
import importlib.util
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from codecarbon import OfflineEmissionsTracker


@dataclass
class Energy:
    """The energy of one stage."""

    watt_hours: float | None = None
    """Set at the end of the stage; None without CodeCarbon (the extra `energy`)."""


@contextmanager
def measure_energy() -> Iterator[Energy]:
    """Estimate the energy of the block; blocks cannot be nested."""
    energy, tracker = Energy(), _tracker()
    if tracker is None:
        yield energy
        return
    tracker.start_task()
    try:
        yield energy
    finally:
        spent = tracker.stop_task()
        energy.watt_hours = 1000 * spent.energy_consumed if spent else None


@functools.cache
def _tracker() -> OfflineEmissionsTracker | None:
    """The tracker of this process, None without CodeCarbon; it takes two seconds to inspect the machine."""
    if importlib.util.find_spec("codecarbon") is None:
        return None
    # It logs at construction, before its log level applies.
    logging.getLogger("codecarbon").disabled = True
    from codecarbon import OfflineEmissionsTracker

    # These arguments override a configuration file of the user: nothing is written or sent.
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
    # A failed construction is only logged, and leaves the attribute out.
    return tracker if hasattr(tracker, "run_id") else None
