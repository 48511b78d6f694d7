"""How near `hftransfer check --estimate` comes to the run: minutes and peak memory of eight recipes.

The table of docs/how-to/large-data.md. A finished estimate and a finished run are kept under runs/estimates, so that a
stopped benchmark can be continued.
"""

import json
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from _marked import write_table

ROOT = Path(__file__).parent.parent
RUNS = ROOT / "runs" / "estimates"
PAGE = ROOT / "docs" / "how-to" / "large-data.md"
# As shares of what was measured.
_MINUTES, _MEMORY = 0.30, 0.20


@dataclass(frozen=True)
class Case:
    """A recipe, and what is changed in it."""

    recipe: str
    overrides: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Of the row and of the folder."""
        return Path(self.recipe).stem


CASES = [
    Case("quickstart.yaml"),
    Case("vision-quickstart.yaml"),
    Case("speech-quickstart.yaml"),
    Case("text/bbc_news-minilm-full.yaml"),
    Case("text/bbc_tags-minilm-full.yaml"),
    Case("text/clothing_reviews-minilm-full.yaml", ("data.max_rows=4000",)),
    Case("vision/digits-resnet_tiny-scratch.yaml"),
    Case("vision/digit_scenes-segformer_tiny-scratch.yaml"),
]


@dataclass(frozen=True)
class Cost:
    """Of a run, as foreseen or as measured."""

    seconds: float
    peak_memory_bytes: int


def estimates() -> bool:
    """Estimate and run all cases, write the table, and return whether all are near enough."""
    lines, near = [], []
    for case in CASES:
        foreseen, measured = _foreseen(case), _measured(case)
        times = foreseen.seconds / measured.seconds - 1
        memory = foreseen.peak_memory_bytes / measured.peak_memory_bytes - 1
        near.append(abs(times) <= _MINUTES and abs(memory) <= _MEMORY)
        minutes, megabytes = (
            [f"{getattr(cost, field) / size:,.{digits}f}" for cost in (foreseen, measured)]
            for field, size, digits in (("seconds", 60, 1), ("peak_memory_bytes", 1e6, 0))
        )
        changes = f" ({', '.join(case.overrides)})" if case.overrides else ""
        cells = [f"{case.name}{changes}", *minutes, f"{times:+.0%}", *megabytes, f"{memory:+.0%}"]
        lines.append(f"| {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    head = (
        "| recipe | minutes, estimated | minutes | off by | peak memory, MB, estimated | peak memory, MB | off by |\n"
        "| --- | --- | --- | --- | --- | --- | --- |\n"
    )
    write_table(PAGE, "estimate", head, lines)
    return all(near)


def _foreseen(case: Case) -> Cost:
    """What the estimate says."""
    kept = RUNS / f"{case.name}.json"
    if not kept.is_file():
        command = ["hftransfer", "check", str(ROOT / "recipes" / case.recipe), *case.overrides, "--estimate", "--json"]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(json.loads(said)["estimate"]))
    estimate = json.loads(kept.read_text())
    return Cost(sum(estimate["seconds"].values()), estimate["peak_memory_bytes"])


def _measured(case: Case) -> Cost:
    """What the command of the run takes, from its start to its end."""
    out, kept = RUNS / case.name, RUNS / f"{case.name}.seconds"
    if not kept.is_file():
        command = ["hftransfer", "run", str(ROOT / "recipes" / case.recipe), *case.overrides]
        start = time.monotonic()
        subprocess.run([*command, "--out", str(out), "--overwrite"], check=True, stdout=subprocess.DEVNULL)
        kept.write_text(str(time.monotonic() - start))
    return Cost(float(kept.read_text()), json.loads((out / "result.json").read_text())["peak_memory_bytes"])
