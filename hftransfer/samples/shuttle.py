"""NASA Shuttle, 49,097 rows of nine sensors, 3,511 of them anomalies (ODDS; UCI Statlog, CC BY 4.0).

Columns: `text` (string, the nine numbers with spaces between them), `label` (ClassLabel: normal, anomaly), `f1` to `f9`
(int). The normal rows are those of the commonest of seven classes, the second of which is left out.
In the wheel river 0.26.1, 3 MB (BSD-3-Clause); https://doi.org/10.24432/C5WS31
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from hftransfer.samples import Sample
from hftransfer.samples._wheels import Wheel

if TYPE_CHECKING:
    from datasets import Dataset

_FILE = "river/datasets/shuttle.csv.gz"
# Its size differs with the platform, the file is the same.
_WHEEL = Wheel(
    "river",
    "0.26.1",
    size=2_738_776,
    files={_FILE: "1ed4bfa77233d95bff2c8ab2482725d2d800410daedf5919ad80ec6faf60ff59"},
)
_SENSORS = tuple(f"f{number}" for number in range(1, 10))


class Shuttle(Sample):
    """Rows of sensors for the detection of anomalies."""

    license: ClassVar[str] = "cc-by-4.0"
    provenance: ClassVar[str] = "wheel river 0.26.1, from UCI Statlog (Shuttle), https://doi.org/10.24432/C5WS31"
    download_bytes: ClassVar[int] = _WHEEL.size
    flaws: ClassVar[tuple[str, ...]] = ("A forest of random cuts alone finds nearly all of the anomalies.",)

    def rows(self) -> dict[str, Dataset]:
        """One split, `train`, in the order of the file."""
        import pandas
        from datasets import ClassLabel, Dataset, Features, Value

        table = pandas.read_csv(_WHEEL.folder(self.name) / _FILE)
        numbers = {name: table[name].tolist() for name in _SENSORS}
        columns = {
            "text": [" ".join(map(str, row)) for row in zip(*numbers.values(), strict=True)],
            "label": table["anomaly"].tolist(),
            **numbers,
        }
        sensors = {name: Value("int64") for name in _SENSORS}
        label = ClassLabel(names=["normal", "anomaly"])
        return {"train": Dataset.from_dict(columns, Features({"text": Value("string"), "label": label, **sensors}))}
