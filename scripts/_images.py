"""`scripts/bench images`: the cost of encoding photos compared with Pillow and numpy by hand; two processes; disk."""

import io
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

PHOTOS, SIDE, TURNS = 300, 224, 4
RECIPE = """
task: image-classification
model:
  config: {{model_type: vit, image_size: {side}, patch_size: 32, hidden_size: 32, num_hidden_layers: 1,
    num_attention_heads: 2, intermediate_size: 64}}
data: {{source: {{name: imagefolder, path: {photos}}}, splits: {{validation: 20, test: 20}}}}
strategy: scratch
"""


def photos(folder: Path) -> None:
    """JPEG photos of 640x480 in two classes: random parts of the two photos that scikit-learn has, with noise."""
    from PIL import Image
    from sklearn.datasets import load_sample_images

    rng = np.random.default_rng(0)
    for name, photo in zip(("china", "flower"), load_sample_images().images, strict=True):
        (folder / "train" / name).mkdir(parents=True)
        height, width, _ = photo.shape
        for number in range(PHOTOS // 2):
            share = rng.uniform(0.5, 1)
            high, wide = int(share * height), int(share * width)
            top, left = rng.integers(0, height - high + 1), rng.integers(0, width - wide + 1)
            part = Image.fromarray(photo[top : top + high, left : left + wide]).resize(
                (640, 480), Image.Resampling.BICUBIC
            )
            noisy = np.asarray(part) + rng.normal(0, 6, (480, 640, 3))
            image = Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
            image.save(folder / "train" / name / f"{number:03}.jpg", quality=88)


def by_hand(files: list[Path], processor) -> np.ndarray:
    """What the processor makes of the photos, by Pillow and numpy."""
    from PIL import Image

    mean, std = (np.array(values, np.float32) for values in (processor.image_mean, processor.image_std))
    arrays = []
    for file in files:
        with Image.open(io.BytesIO(file.read_bytes())) as photo:
            image = photo.convert("RGB").resize((SIDE, SIDE), int(processor.resample))
        arrays.append(((np.asarray(image, np.float32) / 255 - mean) / std).transpose(2, 0, 1))
    return np.stack(arrays)


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """CPU seconds of this process, and wall seconds."""
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    return time.process_time() - cpu, time.perf_counter() - wall


def images(claim: Callable[..., bool]) -> bool:
    """Encode photos in one process and by hand, then four times as many in one and in two processes, in turns.

    Medians of the turns but for the first. Another process starts in a tenth of a second.
    """
    from datasets import concatenate_datasets

    from hftransfer.data.encode import encode
    from hftransfer.recipe.loader import parse_recipe
    from hftransfer.runner.plan import check

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        photos(folder / "photos")
        plan = check(parse_recipe(RECIPE.format(side=SIDE, photos=folder / "photos")), decode=False)
        rows = concatenate_datasets(list(plan.rows.splits.values()))
        many = concatenate_datasets([rows] * 4)
        files = sorted((folder / "photos").rglob("*.jpg"))

        def encoded(what, processes: int) -> Callable[[], object]:
            out = Path(tempfile.mkdtemp(dir=folder))
            return lambda: encode(plan.task, {"all": what}, out, num_proc=processes)

        times: dict[str, list[tuple[float, float]]] = {"encode": [], "by hand": [], "1 process": [], "2 processes": []}
        for _ in range(TURNS):
            times["encode"].append(timed(encoded(rows, 1)))
            times["by hand"].append(timed(lambda: by_hand(files, plan.task.processor)))
            times["1 process"].append(timed(encoded(many, 1)))
            times["2 processes"].append(timed(encoded(many, 2)))
        one = folder / "one"
        encode(plan.task, {"all": rows}, one)
        size = sum(file.stat().st_size for file in one.iterdir()) / (len(rows) * 3 * SIDE * SIDE)
    cpu, wall = (
        {name: statistics.median(turn[clock] for turn in turns[1:]) for name, turns in times.items()}
        for clock in (0, 1)
    )
    print(f"{len(rows)} photos: encode {cpu['encode']:.2f} CPU s, by hand {cpu['by hand']:.2f} CPU s")
    print(f"{len(many)} photos: 1 process {wall['1 process']:.2f} s, 2 processes {wall['2 processes']:.2f} s")
    print("the last two mean something only on two cores that do nothing else")
    return all(
        [
            claim("CPU seconds by hand / encode", cpu["by hand"] / cpu["encode"], round(1 / 1.2, 2)),
            claim("pixel channels / bytes on disk", 1 / size, round(1 / 1.3, 2)),
            claim("seconds of 1 process / 2 processes", wall["1 process"] / wall["2 processes"], 1.7),
        ]
    )
