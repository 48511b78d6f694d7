"""Images as they are cached: bytes that become what the processor makes, decoded once, in one process or in several."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from datasets import Dataset
from datasets import Image as ImageColumn
from PIL import Image, ImageFile
from transformers import AutoConfig

from hftransfer.core import plugins
from hftransfer.core.errors import DataError
from hftransfer.core.media import READING_ERRORS, read_image
from hftransfer.data import encode as encoding
from hftransfer.data.augmentation import augmenter
from hftransfer.data.encode import cache_rows, encode, encode_one
from hftransfer.data.processes import processes
from hftransfer.recipe.loader import parse_recipe
from hftransfer.runner import stages
from hftransfer.runner.pipeline import run
from hftransfer.runner.plan import check
from hftransfer.tasks._images import new_processor, resized_to
from hftransfer.tasks._pixels import encode_pixels, normalized

KINDS = ("vit", "convnext", "clip", "deit", "beit", "mobilenet_v2", "segformer", "yolos", "dpt")


def _pictures(count, seed=0):
    rng = np.random.default_rng(seed)
    sizes = [(30, 44), (52, 36), (40, 40)]
    return [Image.fromarray(rng.integers(0, 256, (*sizes[i % 3], 3), dtype=np.uint8)) for i in range(count)]


def _rows(count, seed=0):
    rows = Dataset.from_dict({"image": _pictures(count, seed), "label": [i % 2 for i in range(count)]})
    return rows.cast_column("image", ImageColumn())


def _task(processor=None, **fields):
    task = plugins.load("tasks", "image-classification")(**fields).with_labels(("a", "b"))
    return task.with_processor(processor or new_processor(AutoConfig.for_model("vit"), 16))


@pytest.mark.parametrize("kind", KINDS)
def test_bytes_become_what_the_processor_makes(kind):
    processor = new_processor(AutoConfig.for_model(kind), 32)
    for picture in _pictures(3):
        pixels = encode_pixels(processor, [picture])[0]
        expected = processor(images=[picture], return_tensors="np")["pixel_values"][0]
        assert pixels.dtype == np.uint8 and expected.dtype == np.float32
        np.testing.assert_allclose(normalized(processor, pixels), expected, rtol=0, atol=1e-6)
        # As the table gives them back.
        np.testing.assert_array_equal(normalized(processor, pixels.astype(np.int64)), normalized(processor, pixels))


class _Whitening(type(new_processor(AutoConfig.for_model("vit")))):
    """A processor whose pixels depend on the whole image."""

    def __call__(self, images, **options):
        made = super().__call__(images=images, **options)
        made["pixel_values"] = np.stack([image - image.mean(dtype=image.dtype) for image in made["pixel_values"]])
        return made


def test_what_bytes_alone_do_not_say_is_cached_as_floats(tmp_path):
    # EfficientNet divides by the deviation once more, whatever it is asked to leave out.
    efficientnet = new_processor(AutoConfig.for_model("efficientnet"), 16)
    assert encode_pixels(efficientnet, _pictures(1)).dtype == np.float32
    task = _task(resized_to(_Whitening(), 16))
    encoded = encode(task, {"test": _rows(4)}, tmp_path)
    pixels = np.stack([encoded.splits["test"][i]["pixel_values"] for i in range(4)])
    expected = task.processor(images=_pictures(4), return_tensors="np")["pixel_values"]
    assert pixels.dtype == np.float32
    np.testing.assert_array_equal(
        encoded.collate([encoded.splits["test"][i] for i in range(4)])["pixel_values"], expected
    )


def test_a_byte_a_channel_is_kept_and_batches_and_augmentation_are_those_of_floats(tmp_path):
    task, rows = _task(crop=0.5, flip=True), _rows(40)
    augment = augmenter(task, "strong")
    encoded = encode(task, {"train": rows}, tmp_path, augment)
    assert (tmp_path / "train.arrow").stat().st_size <= 1.3 * 40 * 3 * 16 * 16 + 10_000
    whole = task.processor(images=_pictures(40), return_tensors="np")["pixel_values"]
    examples = [encoded.splits["train"][i] for i in range(40)]
    batch = encoded.collate(examples)
    np.testing.assert_allclose(batch["pixel_values"], whole, rtol=0, atol=1e-6)
    assert batch["pixel_values"].dtype == torch.float32 and batch["labels"].tolist() == [0, 1] * 20
    (one,) = encode_one(task, {"image": rows[3]["image"]})
    np.testing.assert_allclose(task.collate([one])["pixel_values"][0], whole[3], rtol=0, atol=1e-6)
    for i in range(8):
        changed = encoded.augment(examples[i], np.random.default_rng(i))["pixel_values"]
        expected = augment({"pixel_values": whole[i]}, np.random.default_rng(i))["pixel_values"]
        np.testing.assert_allclose(changed, expected, rtol=0, atol=1e-5)


def test_two_processes_make_the_same_after_a_training_and_are_not_started_again(tmp_path, monkeypatch):
    task, splits = _task(), {"train": _rows(70), "test": _rows(3)}
    one = encode(task, splits, tmp_path / "one").splits
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    weights = torch.rand(600, 600, requires_grad=True)
    (weights @ weights).sum().backward()
    two = encode(task, splits, tmp_path / "two", num_proc=2).splits
    torch.set_num_threads(threads)
    for split in splits:
        for name, values in one[split][:].items():
            np.testing.assert_array_equal(two[split][:][name], values)
    files = sorted(file.name for file in (tmp_path / "two").iterdir())
    assert [name for name in files if name.startswith("train")] == [f"train_0000{i}_of_00002.arrow" for i in (0, 1)]
    monkeypatch.setattr(Dataset, "_map_single", None)
    again = encode(task, splits, tmp_path / "two", num_proc=2).splits
    np.testing.assert_array_equal(again["train"][:]["pixel_values"], one["train"][:]["pixel_values"])


def test_processes_pay_for_many_images_alone(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _process: range(4), raising=False)
    images = Dataset.from_dict({"image": [{"bytes": b"", "path": None}]}).cast_column("image", ImageColumn())
    texts = Dataset.from_dict({"text": ["a"]})
    many = {size: images.select([0] * size) for size in (500, 600, 5000)}
    assert [processes(rows, None) for rows in many.values()] == [None, 2, 4]
    assert [processes(rows, 3) for rows in (images, many[500], texts.select([0] * 9))] == [None, 3, 3]
    assert processes(texts.select([0] * 5000), None) is None and processes(many[5000], 1) is None
    monkeypatch.setattr("multiprocess.get_start_method", lambda **_options: "spawn")
    assert processes(many[5000], None) is None


@pytest.fixture
def folder(tmp_path):
    """A checkpoint, and images of two classes in files."""
    tiny._image(tmp_path / "model")
    for split, count in (("train", 8), ("test", 4)):
        for number, picture in enumerate(_pictures(2 * count, seed=count)):
            place = tmp_path / "images" / split / "ab"[number % 2]
            place.mkdir(parents=True, exist_ok=True)
            picture.save(place / f"{number}.png")
    return tmp_path


def _recipe(folder, data=""):
    return parse_recipe(f"""
task: image-classification
model: {{id: {folder / "model"}}}
data: {{source: {{name: imagefolder, path: {folder / "images"}}}, splits: {{validation: 4}}{data}}}
training: {{max_steps: 1, eval_strategy: "no"}}
""")


def test_a_run_decodes_each_image_once(folder, monkeypatch):
    decoded, before_training = Counter(), []
    load, train = ImageFile.ImageFile.load, stages.train

    def count(image):
        if image.tile:
            decoded[Path(image.filename).parent.parent.name, Path(image.filename).name] += 1
        return load(image)

    def snapshot(*args, **options):
        before_training.append(decoded.copy())
        return train(*args, **options)

    monkeypatch.setattr(ImageFile.ImageFile, "load", count)
    monkeypatch.setattr(stages, "train", snapshot)
    result = run(_recipe(folder), folder / "run")
    # One of them shows what shape the encoded rows have.
    (before,) = before_training
    assert sorted(before.values()) == [1] * 23 + [2]
    # The report shows the worst errors, and the card may show three rows.
    assert sum((decoded - before).values()) <= len(result.worst) + 3
    assert {split for split, _ in decoded - before} <= {"test"}


def test_an_image_that_is_not_whole_is_found_before_the_training(folder):
    file = folder / "images" / "train" / "a" / "6.png"
    file.write_bytes(file.read_bytes()[:1500])
    assert read_image(str(file), decode=False).size == (44, 30)
    sentence = r"1 of 16 rows of split 'train' cannot be used, first row 6: .*6\.png is not a readable image"
    with pytest.raises(DataError, match=sentence):
        check(_recipe(folder))
    with pytest.raises(DataError, match=sentence):
        run(_recipe(folder), folder / "run")
    assert not list(folder.glob("run*"))
    plan = check(_recipe(folder, ", on_error: skip"), decode=False)
    assert plan.rows.facts.skipped["train"] == 1


def test_an_image_that_is_not_whole_is_found_where_rows_are_encoded_when_read(folder, tmp_path, monkeypatch):
    file = folder / "images" / "test" / "a" / "2.png"
    file.write_bytes(file.read_bytes()[:1500])
    monkeypatch.setattr(encoding, "MAX_CACHE_BYTES", 0)
    plan = check(_recipe(folder), decode=False)
    with pytest.raises(READING_ERRORS):
        encode(plan.task, plan.rows.labelled, tmp_path / "encoded")


def test_the_size_of_an_image_counts_its_orientation(tmp_path):
    picture = Image.new("RGB", (30, 20))
    exif = Image.Exif()
    exif[0x0112] = 6
    for ending, options in (("jpg", {"exif": exif}), ("png", {"exif": exif}), ("bmp", {})):
        file = tmp_path / f"a.{ending}"
        picture.save(file, **options)
        image = read_image(str(file), decode=False)
        assert image.size == (image.width, image.height) == ((20, 30) if options else (30, 20))


def test_spectrograms_of_any_length_are_read_back_as_they_were(tmp_path):
    lengths = [3, 7, 3, 1]

    def spectrograms(columns):
        arrays = [np.full((count, 4), count, dtype=np.float32) for count in columns["count"]]
        return {"x": arrays, "length": columns["count"]}

    rows = cache_rows(Dataset.from_dict({"count": lengths}), spectrograms, tmp_path / "rows.arrow", "encoding")
    assert [row["x"].shape for row in rows] == [(count, 4) for count in lengths]
    assert all((row["x"] == count).all() for row, count in zip(rows.__getitems__([0, 1, 2, 3]), lengths, strict=True))
