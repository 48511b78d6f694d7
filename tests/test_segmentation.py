"""Segmentation: masks of class numbers or palettes, ignored pixels, scores at the image's own size."""

import numpy as np
import pytest
import tiny
from PIL import Image

from hftransfer.core.errors import DataError
from hftransfer.core.features import Mask
from hftransfer.data.augmentation import augmenter
from hftransfer.metrics import load_metric
from hftransfer.recipe.loader import parse_recipe
from hftransfer.runner.plan import check
from hftransfer.tasks import IGNORED, object_array
from hftransfer.tasks._images import resized_nearest
from hftransfer.tasks.image_segmentation import ImageSegmentation


def _png(pixels, mode="L"):
    image = Image.fromarray(np.asarray(pixels, np.uint8), mode)
    if mode == "P":
        image.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    return image


@pytest.mark.parametrize("mode", ["L", "P"])
def test_masks_are_class_numbers_or_places_in_a_palette(mode, tmp_path):
    _png([[0, 1], [2, 2]], mode).save(tmp_path / "mask.png")
    numbers, _ = Mask().read("mask", str(tmp_path / "mask.png"))
    assert numbers.tolist() == [[0, 1], [2, 2]]


def test_a_mask_of_colours_is_refused(tmp_path):
    image = Image.new("RGB", (2, 2))
    image.putpixel((1, 0), (128, 0, 0))
    image.save(tmp_path / "mask.png")
    said = "no mask of class numbers .mode RGB.: its 2 colours .#000000, #800000. name no classes: save it with one"
    with pytest.raises(DataError, match=said):
        Mask().read("mask", str(tmp_path / "mask.png"))


@pytest.mark.parametrize(("name", "mode"), [("a.gif", "L"), ("a.gif", "1"), ("a.png", "RGB")])
def test_a_mask_of_greys_has_their_levels(name, mode, tmp_path):
    """A GIF may have any palette, and an image in three equal channels is grey."""
    _png([[255, 0], [255, 255]]).convert(mode).save(tmp_path / name)
    numbers, _ = Mask().read("mask", str(tmp_path / name))
    assert numbers.tolist() == [[255, 0], [255, 255]]


def test_masks_are_scored_at_the_size_of_the_image_and_ignored_pixels_are_not():
    task = ImageSegmentation().with_labels(("0", "1"))
    truth = np.array([[0, 0, 1, 1]] * 6)
    truth[0] = 255
    reference = task._numbered(_png(truth))
    assert (reference[0] == IGNORED).all() and reference.shape == (6, 4)
    logits = np.zeros((1, 2, 3, 2), np.float32)
    logits[0, 1, :, 1] = 9.0
    logits[0, 0, :, 0] = 9.0
    (mask,) = task.postprocess({"logits": logits}, {"size": [np.array([6, 4])]})
    assert mask.shape == (6, 4) and task.error(mask, reference) == 0
    metric = load_metric("mean_iou", task.metric_options())
    assert metric(object_array([mask]), object_array([reference])) == {
        "mean_iou": 1.0,
        "mean_iou.0": 1.0,
        "mean_iou.1": 1.0,
    }


def test_mean_iou_is_that_of_whole_splits():
    """Intersections and unions are summed over all images first, as PASCAL VOC does."""
    predictions = [np.array([[0, 0, 1]]), np.array([[1, 1, 1]])]
    references = [np.array([[0, 1, 1]]), np.array([[1, 1, 0]])]
    values = load_metric("mean_iou", {"labels": ("a", "b", "c")})(object_array(predictions), object_array(references))
    assert values["mean_iou.a"] == pytest.approx(1 / 3) and values["mean_iou.b"] == pytest.approx(3 / 5)
    assert values["mean_iou"] == pytest.approx((1 / 3 + 3 / 5) / 2) and np.isnan(values["mean_iou.c"])


@pytest.mark.parametrize("operation", ["shift", "rotate"])
def test_a_mask_moves_with_its_image(operation):
    task = ImageSegmentation().with_labels(("0", "1"))
    square = np.zeros((40, 40), np.int64)
    square[12:24, 14:28] = 1
    row = {"pixel_values": np.stack([square] * 3).astype(np.float32), "labels": square}
    change = augmenter(task, [operation])
    moved = [change(row, np.random.default_rng(seed)) for seed in range(12)]
    assert any(not np.array_equal(it["labels"], square) for it in moved)
    for it in moved:
        labelled = it["labels"] != IGNORED
        agree = (it["pixel_values"][0] > 0.5) == (it["labels"] == 1)
        assert agree[labelled].mean() > 0.97


def test_a_crop_and_a_flip_take_the_mask_along():
    task = ImageSegmentation(crop=0.3, flip=True).with_labels(("0", "1"))
    square = np.zeros((40, 40), np.int64)
    square[:, 20:] = 1
    row = {"pixel_values": np.stack([square] * 3).astype(np.float32), "labels": square}
    for seed in range(8):
        changed = task.augment(row, np.random.default_rng(seed))
        assert ((changed["pixel_values"][0] > 0.5) == (changed["labels"] == 1)).mean() > 0.95


def test_resizing_by_the_nearest_pixel_keeps_class_numbers():
    assert resized_nearest(np.array([[0, 7], [3, 255]]), (4, 4)).tolist() == [[0, 0, 7, 7]] * 2 + [[3, 3, 255, 255]] * 2


@pytest.mark.parametrize(
    ("more", "size", "message"),
    [
        ("", (8, 8), "the mask has 8 x 8 pixels, and the image 16 x 16"),
        (", classes: [x]", (16, 16), "the mask has the class number 1, and task.classes names 1, from 0 on"),
    ],
)
def test_masks_that_do_not_fit_are_refused(more, size, message, tmp_path):
    text = tiny.recipe(ImageSegmentation(), tmp_path)
    Image.new("L", size, 1).save(tmp_path / "rows" / "mask-3.png")
    with pytest.raises(DataError, match=message):
        check(parse_recipe(text.replace("name: image-segmentation", f"name: image-segmentation{more}")))


def _black_and_white(folder, more):
    """The plan for images and masks of 0 and 255."""
    text = tiny.recipe(ImageSegmentation(), folder)
    for mask in (folder / "rows").glob("mask-*.png"):
        numbers = np.zeros((16, 16), np.uint8)
        numbers[4:12, 4:12] = 255
        Image.fromarray(numbers).save(mask)
    return check(parse_recipe(text.replace("name: image-segmentation", f"name: image-segmentation{more}")))


@pytest.mark.parametrize(("more", "nothing"), [(", classes: [soil, leaf]", "'leaf'"), ("", "a second class")])
def test_masks_of_black_and_white_are_refused_where_white_is_ignored(more, nothing, tmp_path):
    with pytest.raises(
        DataError, match=f"hold the numbers 0 and 255 alone.*nothing of {nothing} would be learnt"
    ) as it:
        _black_and_white(tmp_path, more)
    assert "task.mask_values: [0, 255]" in str(it.value)


def test_masks_of_black_and_white_are_two_classes_by_their_numbers(tmp_path):
    plan = _black_and_white(tmp_path, ", classes: [soil, leaf], mask_values: [0, 255]")
    assert plan.task.labels == ("soil", "leaf") and not any("no pixel" in line for line in plan.warnings)
    reference = plan.task.references(plan.rows.splits["train"].select([0]))[0]
    assert (reference == 1).sum() == 64 and (reference == 0).sum() == 192


def test_a_class_without_pixels_is_reported(tmp_path):
    text = tiny.recipe(ImageSegmentation(), tmp_path)
    more = "name: image-segmentation, classes: [a, b, c, d, e, f, g, h, nothing]"
    plan = check(parse_recipe(text.replace("name: image-segmentation", more)))
    assert any("training masks has the class" in line and "'nothing' (8)" in line for line in plan.warnings)


def test_mask_values_are_one_for_each_class():
    with pytest.raises(ValueError, match="give each of the classes"):
        ImageSegmentation(classes=["soil", "leaf"], mask_values=[0])
