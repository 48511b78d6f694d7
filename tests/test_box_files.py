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


def _voc(file, boxes, name=None, size=(30, 20)):
    """Write the XML of an image; boxes: class, corners, difficult."""
    file.parent.mkdir(parents=True, exist_ok=True)
    objects = "".join(
        f"<object><name>{category}</name><difficult>{difficult}</difficult><part><name>head</name></part><bndbox>"
        + "".join(f"<{side}>{it}</{side}>" for side, it in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True))
        + "</bndbox></object>"
        for category, corners, difficult in boxes
    )
    sides = f"<size><width>{size[0]}</width><height>{size[1]}</height></size>"
    file.write_text(f"<annotation><filename>{name or file.stem + '.png'}</filename>{sides}{objects}</annotation>")


@pytest.mark.parametrize(
    ("images", "tables", "expected"),
    [
        ("VOC2012/JPEGImages/{}.png", "VOC2012/Annotations/{}.xml", {"train": 4, "validation": 2}),
        ("{}.png", "{}.xml", {"train": 6}),
        ("images/{}.png", "annotations/{}.xml", {"train": 6}),
        ("train/{}.png", "train/{}.xml", {"train": 6}),
    ],
    ids=["VOC", "LabelImg", "two folders", "Roboflow"],
)
def test_voc_is_read_from_the_folders_that_tools_make(images, tables, expected, tmp_path):
    for number in range(6):
        picture = tmp_path / images.format(number)
        picture.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (30, 20), number).save(picture)
        boxes = [("cat", (2, 2, 10.5, 11), 0), ("dog", (12, 2, 21, 11), 1)][: number % 3]
        _voc(tmp_path / tables.format(number), boxes, name="before renaming.jpg")
    if "validation" in expected:
        lists = {"train": "0\n1\n2\n3\n", "val": "4\n5\n", "trainval": "0\n1\n", "cat_train": "0 -1\n"}
        for name, lines in lists.items():
            file = tmp_path / "VOC2012/ImageSets/Main" / f"{name}.txt"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(lines)
    source = plugins.load("sources", "voc")(path=str(tmp_path))
    rows = source.load()
    assert {split: len(part) for split, part in rows.items()} == expected and source.warnings == []
    train = rows["train"]
    assert [image.getpixel((0, 0)) for image in train["image"][:3]] == [0, 1, 2]
    assert train[2]["objects"]["bbox"] == [[2, 2, 8.5, 9], [12, 2, 9, 9]]
    assert train[2]["objects"]["difficult"] == [False, True] and train[0]["objects"]["bbox"] == []
    assert train.features["objects"]["category"].feature.names == ["cat", "dog"]
    task = load(tmp_path, "voc").task
    assert task.labels == ("cat",)


def test_what_is_wrong_with_voc_is_said_with_file_and_object(tmp_path):
    file = tmp_path / "1.xml"
    Image.new("L", (30, 20)).save(tmp_path / "1.png")
    cases = [
        ({"boxes": [("cat", (2, 2, "", 11), 0)]}, "object 0 .cat. has no bndbox of four numbers"),
        ({"boxes": [("", (2, 2, 9, 11), 0)]}, "object 0 has no name"),
        ({"boxes": [("cat", (2, 2, 9, 11), 0)], "size": (20, 30)}, "are for 20 x 30 pixels, and the image has 30 x 20"),
        ({"boxes": []}, "none of the 1 XML files in .* has an object"),
    ]
    for fields, said in cases:
        _voc(file, **fields)
        with pytest.raises(DataError, match=said):
            plugins.load("sources", "voc")(path=str(tmp_path)).load()
    file.write_text("<annotation>")
    with pytest.raises(DataError, match="is not XML"):
        plugins.load("sources", "voc")(path=str(tmp_path)).load()
    _voc(tmp_path / "2.xml", [("cat", (2, 2, 9, 11), 0)])
    file.unlink()
    with pytest.raises(DataError, match=r"its image '2\.png' is not in the folder"):
        plugins.load("sources", "voc")(path=str(tmp_path)).load()
