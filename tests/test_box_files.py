"""Files of boxes as annotation tools write them, and boxes that count neither as found nor as missed."""

import json

import numpy as np
import pytest
from PIL import Image

from hftransfer.core import plugins
from hftransfer.core.errors import DataError
from hftransfer.data.load import load_rows
from hftransfer.metrics import load_metric
from hftransfer.recipe.loader import parse_recipe
from hftransfer.runner.specs import data_options
from hftransfer.tasks import object_array


def load(root, source):
    """The rows of a source, as a run splits them."""
    rows = f"{{source: {{name: {source}, path: {root}}}}}"
    recipe = parse_recipe(f"task: object-detection\nmodel: {{id: 'sample:minilm'}}\ndata: {rows}\n")
    return load_rows(recipe.task, recipe.data.source.load(), data_options(recipe.data), recipe.seed)


@pytest.mark.parametrize(
    ("images", "listed", "expected"),
    [
        ("images/default/{}.png", "annotations/instances_default.json", ["train"]),
        ("images/{}.png", "result.json", ["train"]),
        ("{}.png", "labels_my-project_2024.json", ["train"]),
        ("{}.png", "annotations_latest.json", ["train"]),
        ("my photos/{}.png", "annotations/instances_Validation.json", ["validation"]),
    ],
    ids=["CVAT", "Label Studio", "make-sense", "a word within a word", "CVAT with a split"],
)
def test_one_coco_file_is_read_wherever_tools_put_it(images, listed, expected, tmp_path):
    root, file = tmp_path / "trains", tmp_path / "trains" / listed
    file.parent.mkdir(parents=True)
    (root / images).parent.mkdir(parents=True, exist_ok=True)
    for number in range(3):
        Image.new("L", (30, 20), number).save(root / images.format(number))
    # As Label Studio writes it on Windows, and in another Unicode form or case than the file has.
    names = ["images\\0.png", "/data/upload/1.png", "2.PNG"]
    table = {
        "images": [{"id": number, "file_name": name} for number, name in enumerate(names)],
        "annotations": [{"image_id": 0, "category_id": 1, "bbox": [2, 2, 8, 9], "iscrowd": 0}],
        # Roboflow lists the group of the class by the same name.
        "categories": [{"id": 0, "name": "cat"}, {"id": 1, "name": "cat", "supercategory": "cat"}],
    }
    file.write_text(json.dumps(table))
    source = plugins.load("sources", "coco")(path=str(root))
    rows = source.load()
    assert list(rows) == expected and source.warnings == []
    (split,) = rows.values()
    assert [row["image"].getpixel((0, 0)) for row in split] == [0, 1, 2]
    assert split[0]["objects"] == {"bbox": [[2, 2, 8, 9]], "category": [0]}
    for key, entry, said in (
        ("images", {"id": 0, "file_name": "3.png"}, "2 entries of 'images' have the id 0"),
        ("images", {"id": 9, "file_name": "2.PNG"}, "2 entries of 'images' have the file_name '2.PNG'"),
        ("categories", {"id": 1, "name": "dog"}, "2 entries of 'categories' have the id 1"),
    ):
        file.write_text(json.dumps(table | {key: [*table[key], entry]}))
        with pytest.raises(DataError, match=said):
            source.load()


def test_a_crowd_is_not_trained_on_and_counts_as_pycocotools_counts_it(tmp_path):
    for number in range(5):
        Image.new("L", (30, 20), number).save(tmp_path / f"{number}.png")
    marks = [{}, {"iscrowd": 1}, {"ignore": 1}]
    annotations = [
        {"image_id": number, "category_id": 0, "bbox": box, **mark}
        for number in range(5)
        for box, mark in zip(([2, 2, 8, 9], [12, 2, 9, 9], [2, 12, 6, 6]), marks, strict=True)
    ]
    images = [{"id": number, "file_name": f"{number}.png"} for number in range(5)]
    table = {"images": images, "annotations": annotations, "categories": [{"id": 0, "name": "cat"}]}
    (tmp_path / "result.json").write_text(json.dumps(table))
    task, rows = (loaded := load(tmp_path, "coco")).task, loaded.splits["test"]
    (reference,) = task.references(rows.select([0]))
    assert task.describe(reference) == "cat [2, 2, 10, 11]"
    # Parts of the crowd, and the ignored one, are neither right nor wrong; what is found elsewhere is wrong.
    boxes = np.array([[2, 2, 10, 11], [12, 2, 16, 11], [16, 2, 21, 11], [2, 12, 8, 18]], dtype=float)
    found = {"boxes": boxes, "labels": ["cat"] * 4, "scores": np.array([0.6, 0.9, 0.8, 0.7])}
    metric, truth = load_metric("map"), object_array([reference])
    assert metric(object_array([found]), truth)["map"] == pytest.approx(1)
    wrong = {**found, "boxes": boxes + [[0, 0, 0, 0], [0, 9, 0, 9], [0, 0, 0, 0], [0, 0, 0, 0]]}
    assert metric(object_array([wrong]), truth)["map"] == pytest.approx(0.5)
    for rows in (found, wrong):
        resampled = metric.resampler(object_array([rows]), truth)(np.ones((1, 1), dtype=int))
        assert resampled["map"][0] == pytest.approx(metric(object_array([rows]), truth)["map"])
