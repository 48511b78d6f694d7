"""docs/performance.md, "Large data": what check and run cost on a gigabyte, by `scripts/bench size`.

The rows are made by a seed: 1,000,000 texts of 1,000 characters in one Parquet file, a tenth of them in another, and
20,000 JPEGs. A tiny BERT and a tiny ViT stand for the checkpoint, since what is measured is the work on rows.
"""

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "performance.md"
TITLE = "## Large data"
TEXT = """task: text-classification
model: {{id: {folder}/bert}}
data:
  source: {{name: parquet, train: {folder}/{file}.parquet}}
  splits: {{validation: 500, test: 1000}}
evaluation: {{baselines: [majority]}}
training: {{max_steps: 5, use_cpu: true}}
"""
IMAGES = """task: image-classification
model: {{id: {folder}/vit}}
data:
  source: {{name: imagefolder, path: {folder}/images}}
  splits: {{validation: 500, test: 1000}}
"""
WORDS, SENTENCE, IMAGE_COUNT = 5000, 143, 20_000


@dataclass(frozen=True)
class Measured:
    """A command and what it may cost."""

    work: str
    command: str
    recipe: str
    overrides: tuple[str, ...] = ()
    seconds: float = 0.0
    megabytes: float = 0.0
    disk: float = 0.0
    """Copies of the rows in the cache of `datasets`."""


WORK = [
    Measured("check, 1,000,000 texts", "check", "large", (), 20, 900, 0),
    Measured("check, 100,000 texts", "check", "small", (), 20, 900, 0),
    Measured("check, data.max_rows=2000, 1,000,000 texts", "check", "large", ("data.max_rows=2000",), 20, 900, 0),
    Measured("run, 5 steps, 1,000,000 texts", "run", "large", (), 60, 1200, 1.1),
    Measured("run, 5 steps, 100,000 texts", "run", "small", (), 60, 1200, 1.1),
    Measured("check, 20,000 JPEGs", "check", "images", (), 15, 900, 0.2),
]
MEMORY = [
    ("check, 1,000,000 texts", "check, 100,000 texts"),
    ("run, 5 steps, 1,000,000 texts", "run, 5 steps, 100,000 texts"),
]


def size() -> bool:
    """Measure all, write the section, and say whether each figure is as claimed."""
    with tempfile.TemporaryDirectory() as folder:
        # In a process of its own, whose memory is none of what is measured.
        subprocess.run([sys.executable, __file__, folder], check=True)
        found = {work.work: _measure(work, Path(folder)) for work in WORK}
    lines, held = [], []
    for work in WORK:
        it = found[work.work]
        pairs = ((it.seconds, work.seconds), (it.megabytes, work.megabytes), (it.disk, work.disk))
        cells = [f"**{value:.{digits}f}** ({most:g})" for (value, most), digits in zip(pairs, (1, 0, 2), strict=True)]
        lines.append(f"| {work.work} | {' | '.join(cells)} |")
        held.append(all(value <= most for value, most in pairs))
        print(f"{lines[-1]} {'ok' if held[-1] else 'NOT REACHED'}", flush=True)
    for large, small in MEMORY:
        ratio = found[large].megabytes / found[small].megabytes
        lines.append(f"| memory of {large} / {small} | | **{ratio:.2f}** (1.2) | |")
        held.append(ratio <= 1.2)
        print(f"{lines[-1]} {'ok' if held[-1] else 'NOT REACHED'}", flush=True)
    _write("\n".join(lines))
    return all(held)


def _measure(work: Measured, folder: Path) -> Measured:
    """The same with what it costs: CPU seconds and peak memory of its process, and copies of the rows on disk."""
    cache = folder / "cache" / work.recipe / work.command
    cache.mkdir(parents=True, exist_ok=True)
    command = ["hftransfer", work.command, str(folder / f"{work.recipe}.yaml"), *work.overrides]
    if work.command == "run":
        command += ["--out", str(folder / f"run-{work.recipe}")]
    environment = os.environ | {"HF_HOME": str(cache), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    files = [folder / "images"] if work.recipe == "images" else [folder / f"{work.recipe}.parquet"]
    copies = _bytes(cache) / sum(map(_bytes, files))
    used = usage.ru_utime + usage.ru_stime
    return replace(work, seconds=used, megabytes=usage.ru_maxrss / 1024, disk=copies)


def _bytes(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def _write(lines: str) -> None:
    """The section of the page, in the place of the earlier one."""
    page = PAGE.read_text(encoding="utf-8").partition(TITLE)[0].rstrip()
    PAGE.write_text(
        f"{page}\n\n{TITLE}\n\nWritten by `scripts/bench size`: CPU seconds and peak memory of whole processes on one "
        "core, and copies of the rows that they leave in the cache of `datasets`; in brackets what is claimed at most. "
        "Texts have 1,000 characters and lie in one Parquet file; the models are tiny.\n\n"
        "| work | CPU s | MB | copies on disk |\n| --- | --- | --- | --- |\n" + lines + "\n",
        encoding="utf-8",
    )


def make(folder: Path) -> None:
    """Rows, checkpoints and recipes."""
    import numpy as np
    from PIL import Image

    sys.path.insert(0, str(ROOT / "tests"))
    import tiny

    from hftransfer.core import plugins

    for name, task in (("bert", "text-classification"), ("vit", "image-classification")):
        tiny.checkpoint(plugins.load("tasks", task)(), folder / name)
    for name, count in (("large", 1_000_000), ("small", 100_000)):
        _write_texts(folder / f"{name}.parquet", count)
        (folder / f"{name}.yaml").write_text(TEXT.format(folder=folder, file=name))
    rng = np.random.default_rng(0)
    for number in range(IMAGE_COUNT):
        file = folder / "images" / "ab"[number % 2] / f"{number}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(file)
    (folder / "images.yaml").write_text(IMAGES.format(folder=folder))


def _write_texts(file: Path, count: int) -> None:
    import numpy as np
    import pyarrow
    import pyarrow.parquet

    rng, tables = np.random.default_rng(0), []
    words = np.array(["".join(letters) for letters in rng.choice(list("abcdefghijklmnopqrstuvwxyz"), (WORDS, 6))])
    for start in range(0, count, 10_000):
        labels = rng.integers(0, 2, min(10_000, count - start))
        sentences = words[rng.integers(0, WORDS, (len(labels), SENTENCE))].tolist()
        texts = [f"{['bad', 'good'][label]} {' '.join(it)}" for label, it in zip(labels, sentences, strict=True)]
        tables.append(pyarrow.table({"text": texts, "label": [["neg", "pos"][label] for label in labels]}))
    # One row group, as pandas writes it.
    pyarrow.parquet.write_table(pyarrow.concat_tables(tables), file)


if __name__ == "__main__":
    make(Path(sys.argv[1]))
