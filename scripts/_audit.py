"""How much of what is planted `hftransfer audit` finds: wrong labels and near copies in three samples.

By `scripts/bench audit`. 5 % of the labels are set to another class; texts get typos or lose their end, photographs are
cropped, compressed or made brighter, recordings made louder or cut.
"""

import difflib
import io
import sys
import tempfile
import time
from collections import Counter
from typing import Any

import numpy as np
from datasets import Audio, ClassLabel, Dataset, Features, Image, Value
from PIL import Image as Pillow
from PIL import ImageEnhance

from hftransfer import Recipe, audit
from hftransfer.core import plugins
from hftransfer.core.media import location, open_audio

SEEDS = 4
FLIPPED = 0.05
COPIED = 40
# Name -> task, checkpoint and its sample of rows, with the columns of input and label.
CASES: dict[str, dict[str, Any]] = {
    "news": {
        "task": {"name": "text-classification", "max_length": 80},
        "model": {"id": "sample:minilm"},
        "sample": ("bbc_news", {}, "text", "label"),
    },
    "stamps": {
        "task": {"name": "image-classification"},
        "model": {"id": "sample:efficientnet_lite0"},
        "sample": ("stamps", {}, "image", "label"),
    },
    "speech": {
        "task": {"name": "audio-classification", "window_seconds": 1},
        "model": {"id": "sample:whisper_tiny_en", "config": {"classifier_proj_size": 384}},
        "sample": ("spoken_sentences", {"languages": ["ca", "en", "fr"]}, "audio", "language"),
    },
}
_TYPES = {"text": Value("string"), "image": Image(), "audio": Audio(decode=False)}
_MOST = {"audio": 400}


def measure(name: str, seed: int) -> None:
    """Print what the audit of a sample with planted faults finds."""
    case, rng = CASES[name], np.random.default_rng(seed)
    sample, fields, role, target = case["sample"]
    rows = plugins.load("samples", sample)(**fields).rows()["train"]
    rows = rows.cast_column(role, Audio(decode=False)) if role == "audio" else rows
    if role in _MOST:
        rows = rows.select(np.sort(np.random.default_rng(0).permutation(len(rows))[: _MOST[role]]))
    cells, labels, names = rows[role][:], np.array(rows[target][:]), rows.features[target].names
    flipped = rng.choice(len(labels), round(FLIPPED * len(labels)), replace=False)
    planted = labels.copy()
    planted[flipped] = (labels[flipped] + rng.integers(1, len(names), len(flipped))) % len(names)
    originals = rng.choice(np.setdiff1d(np.arange(len(labels)), flipped), COPIED, replace=False)
    copies = [(int(row), kind, cell) for row in originals for kind, cell in _copies(role, cells[int(row)], rng)]
    table = {
        role: [*cells, *(cell for _, _, cell in copies)],
        "label": [*planted, *(labels[row] for row, _, _ in copies)],
    }
    features = Features({role: _TYPES[role], "label": ClassLabel(names=names)})
    with tempfile.TemporaryDirectory() as folder:
        Dataset.from_dict(table, features=features).save_to_disk(f"{folder}/rows")
        data = {"source": {"name": "disk", "path": f"{folder}/rows"}}
        recipe = Recipe(task=case["task"], model=case["model"], data=data, strategy="linear_probe")
        start = time.process_time()
        result = audit(recipe, out=f"{folder}/audit")
        seconds = time.process_time() - start
    anew = result.features["computed"]
    print(f"{name}, seed {seed}: {len(table['label'])} rows, {seconds:.0f} s of one core, {anew} rows read anew")
    # A hard row and its three copies would be four mistakes.
    found = {finding.row.row for finding in result.of("suspicious label") if finding.row.row < len(labels)}
    right = len(found & set(flipped.tolist()))
    print(
        f"  labels: precision {right / max(1, len(found)):.3f}, recall {right / len(flipped):.3f} of {len(flipped)}; "
        f"share wrong {result.mislabelled:.3f}, by the audit"
    )
    _print_copies(result, copies, cells, role)


def _print_copies(result: Any, copies: list[tuple[int, str, Any]], cells: list[Any], role: str) -> None:
    """Recall of the planted copies by kind, and the pairs of rows that were not planted."""
    first = {cell: row for row, cell in reversed([*enumerate(cells)])} if role == "text" else {}
    same = [first.get(cell, row) if role == "text" else row for row, cell in enumerate(cells)]
    source = dict(enumerate(same)) | {len(cells) + n: same[row] for n, (row, _, _) in enumerate(copies)}
    found = {(it.row.row, it.similar_to.row) for it in result.of("near copy")}
    # An article that is there twice is one row to the copies of it.
    pairs = {frozenset(same[row] if row < len(cells) else row for row in pair) for pair in found}
    planted = [(frozenset((same[row], len(cells) + number)), kind) for number, (row, kind, _) in enumerate(copies)]
    kinds, hits = Counter(kind for _, kind in planted), Counter(kind for pair, kind in planted if pair in pairs)
    print(
        f"  copies: {sum(hits.values())} of {len(copies)} found: "
        + ", ".join(f"{k} {hits[k]}/{n}" for k, n in kinds.items())
    )
    others = {tuple(sorted({source[row] for row in pair})) for pair in pairs if len({source[row] for row in pair}) == 2}
    print(f"  other pairs: {len(others)} of {len(pairs)}{_confirmed(others, cells) if role == 'text' else ''}")
    if role == "image":
        print(f"  {sorted(others)}")


def _confirmed(pairs: set[tuple[int, int]], cells: list[str]) -> str:
    """How many pairs of articles share more than half of the words of the shorter, in their order (difflib)."""
    confirmed = 0
    for first, second in pairs:
        one, other = cells[first].split(), cells[second].split()
        blocks = difflib.SequenceMatcher(None, one, other, False).get_matching_blocks()
        confirmed += sum(block.size for block in blocks) > 0.5 * min(len(one), len(other))
    return f", {confirmed} of which share more than half of the words of the shorter in order"


def _copies(role: str, cell: Any, rng: np.random.Generator) -> list[tuple[str, Any]]:
    return {"text": _texts, "image": _images, "audio": _recordings}[role](cell, rng)


def _texts(text: str, rng: np.random.Generator) -> list[tuple[str, Any]]:
    letters = list(text)
    for place in rng.choice(len(letters) - 1, round(0.02 * len(letters)), replace=False):
        letters[place], letters[place + 1] = letters[place + 1], letters[place]
    return [("typos", "".join(letters)), ("without its end", text[: round(0.8 * len(text))])]


def _images(image: Pillow.Image, rng: np.random.Generator) -> list[tuple[str, Any]]:
    image = image.convert("RGB")
    size = round(float(rng.uniform(0.8, 0.95)) * image.width)
    left, top = rng.integers(0, image.width - size + 1, 2).tolist()
    crop = image.crop((left, top, left + size, top + size))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=30)
    brighter = ImageEnhance.Brightness(image).enhance(float(rng.uniform(0.7, 1.3)))
    return [("crop", crop), ("jpeg", Pillow.open(buffer)), ("gain", brighter)]


def _recordings(cell: Any, rng: np.random.Generator) -> list[tuple[str, Any]]:
    import soundfile

    samples, rate = open_audio(location(cell))
    start = round(float(rng.uniform(0.02, 0.1)) * len(samples))
    changed = {
        "gain": samples * float(rng.uniform(0.3, 1.0)),
        "cut": samples[start:],
        "noise": samples + rng.normal(0, samples.std() * 10**-1.5, len(samples)),
    }
    files = []
    for kind, values in changed.items():
        buffer = io.BytesIO()
        soundfile.write(buffer, np.clip(values, -1, 1), rate, format="WAV")
        files.append((kind, {"bytes": buffer.getvalue(), "path": None}))
    return files


def audits() -> bool:
    """Print the figures of docs/how-to/audit.md."""
    for name in CASES:
        for seed in range(SEEDS):
            measure(name, seed)
    return True


if __name__ == "__main__":
    measure(sys.argv[1], int(sys.argv[2]))
