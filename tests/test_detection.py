"""Boxes: read as data sets write them, refused where they do not fit, scored as COCO scores them."""

import contextlib
import io
import json

import numpy as np
import pytest
import tiny
from datasets import Dataset
from PIL import Image

from hftransfer.core import plugins
from hftransfer.core.errors import DataError
from hftransfer.data.load import load_rows
from hftransfer.evaluation.metric import check_metric
from hftransfer.evaluation.scoring import Answers, Scorer
from hftransfer.metrics import load_metric
from hftransfer.metrics import map as module
from hftransfer.recipe.loader import parse_recipe
from hftransfer.runner.plan import check
from hftransfer.runner.specs import data_options
from hftransfer.tasks import _boxes


def _found(seed, count=12, *, crowds=False):
    """Rows of true boxes, and of boxes found: the true ones moved, relabelled, doubled, left out."""
    draw = np.random.default_rng(seed)
    truth, found = [], []
    for _ in range(count):
        size = int(draw.integers(0, 5))
        boxes = draw.uniform(0, 50, (size, 2))
        boxes = np.hstack([boxes, boxes + draw.uniform(5, 40, (size, 2))])
        labels = draw.choice(["cat", "dog", "cow"], size).tolist()
        marks = {name: draw.random(size) < 0.2 for name in ("iscrowd", "ignore")} if crowds else {}
        truth.append({"boxes": boxes, "labels": labels, "scores": np.ones(size), **marks})
        moved = np.vstack([boxes + draw.normal(0, 2, boxes.shape), boxes[:1]])
        changed = [label if draw.random() < 0.8 else "dog" for label in [*labels, *labels[:1]]]
        found.append({"boxes": moved, "labels": changed, "scores": draw.random(len(moved))})
    return _objects(found), _objects(truth)


def _objects(rows):
    array = np.empty(len(rows), dtype=object)
    array[:] = rows
    return array


def test_the_metric_is_what_pycocotools_summarizes():
    found, truth = _found(0)
    _, evaluator = module.match(found, truth)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluator.accumulate()
    precision = evaluator.eval["precision"]
    value = load_metric("map")(found, truth)
    assert value["map"] == pytest.approx(precision[precision > -1].mean())
    assert 0.2 < value["map"] < value["map.50"] < 1
    assert value["map"] == pytest.approx(np.mean([value[f"map.{label}"] for label in ("cat", "cow", "dog")]))


@pytest.mark.parametrize("seed", range(4))
def test_resampling_every_row_once_gives_the_metric_and_intervals_hold_it(seed):
    found, truth = _found(seed, count=30, crowds=seed > 1)
    metric = load_metric("map")
    value = metric(found, truth)
    once = metric.resampler(found, truth)(np.ones((1, len(truth)), dtype=int))
    for name, number in value.items():
        assert once[name][0] == pytest.approx(number)
    scorer = Scorer([metric], 0.95, 50, 0)
    values = scorer.resample({"tuned": Answers(found, None)}, truth)["tuned"]
    score = {name: scorer.interval(it, len(truth)) for name, it in values.items()}
    assert score["map"].low <= value["map"] <= score["map"].high
    rows = np.array([0, 0, *range(2, 30)])
    times = np.bincount(rows, minlength=30)[None]
    twice = metric.resampler(found, truth)(times)["map"][0]
    assert twice == pytest.approx(metric(found[rows], truth[rows])["map"], abs=0.01)


OBJECTS = {"bbox": [[10, 20, 30, 40]], "category": ["x"]}


@pytest.mark.parametrize(
    ("objects", "box_format", "said"),
    [
        (OBJECTS, "coco", None),
        ([{"bbox": [10, 20, 30, 40], "category_id": 3}], "coco", None),
        ({"boxes": [[0.5, 0.5, 0.2, 0.2]], "labels": [1]}, "yolo", None),
        ({"bbox": [], "category": []}, "coco", None),
        ([], "coco", None),
        ({"bbox": [[60, 20, 90, 80]], "category": ["x"]}, "coco", "it would as pascal_voc"),
        ({"bbox": [[0.5, 0.5, 0.2, 0.2]], "category": ["x"]}, "pascal_voc", "it would as yolo"),
        ({"bbox": [[0.5, 0.5, 0.2, 0.2]], "category": ["x"]}, "coco", "it would as yolo"),
        ({"bbox": [[10, 20, 0, 5]], "category": ["x"]}, "coco", "does not lie in the image of 100 x 80"),
        ({"bbox": [[10, 20, 30]], "category": ["x"]}, "coco", "not four numbers"),
        ({"bbox": [[10, 20, 30, None]], "category": ["x"]}, "coco", "not four numbers"),
        ({"bbox": [[10, 20, 30, 40]], "category": []}, "coco", "1 boxes and 0 categories"),
        ({"rect": [[10, 20, 30, 40]], "category": ["x"]}, "coco", "no 'bbox', only category, rect"),
        ("cat", "coco", "not boxes"),
        ({"bbox": [[10, 20, 30, 40]], "category": ["x"], "iscrowd": [0, 1]}, "coco", "not 0 or 1 for each of 1 boxes"),
    ],
)
def test_boxes_are_read_or_refused(objects, box_format, said):
    fault = _boxes.row_fault(objects, (100, 80), box_format)
    assert fault is None if said is None else said in fault


@pytest.mark.parametrize(
    ("box", "box_format"),
    [([10, 20, 30, 40], "coco"), ([10, 20, 40, 60], "pascal_voc"), ([0.25, 0.5, 0.3, 0.5], "yolo")],
)
def test_formats_say_the_same_box(box, box_format):
    corners = _boxes.corners([box], (100, 80), box_format)
    np.testing.assert_allclose(corners, [[10, 20, 40, 60]])
    np.testing.assert_allclose(_boxes.shares(corners, (100, 80)), [[0.25, 0.5, 0.3, 0.5]])


def _coco(root, layout, boxes=((2, 2, 8, 9),)):
    """A folder with three splits of five images; the last image of each has no box."""
    for split in ("train", "valid", "test"):
        folder = root / {"roboflow": split, "coco": f"{split}2017"}[layout]
        written = {"roboflow": f"{split}/_annotations.coco.json", "coco": f"annotations/instances_{split}2017.json"}
        table = root / written[layout]
        folder.mkdir(parents=True)
        table.parent.mkdir(exist_ok=True)
        images, annotations = [], []
        for number in range(5):
            pixels = np.random.default_rng([number, ord(split[1])]).integers(0, 255, (20, 30, 3))
            Image.fromarray(pixels.astype("uint8")).save(folder / f"{number}.png")
            images.append({"id": number, "file_name": f"{number}.png", "width": 30, "height": 20})
            for box in boxes if number < 4 else ():
                entry = {"id": len(annotations), "image_id": number, "category_id": 7 + number % 2, "iscrowd": 0}
                annotations.append(entry | {"bbox": list(box)})
        categories = [{"id": 7, "name": "cat"}, {"id": 8, "name": "dog"}, {"id": 9, "name": "unseen"}]
        table.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return root


def _load(root, source="coco"):
    rows = f"{{source: {{name: {source}, path: {root}}}}}"
    text = f"task: object-detection\nmodel: {{id: 'sample:minilm'}}\ndata: {rows}\n"
    recipe = parse_recipe(text)
    return load_rows(recipe.task, recipe.data.source.load(), data_options(recipe.data), recipe.seed)


@pytest.mark.parametrize("layout", ["roboflow", "coco"])
def test_a_coco_folder_has_its_splits_categories_and_empty_images(layout, tmp_path):
    rows = _load(_coco(tmp_path, layout))
    assert rows.facts.rows == {"train": 5, "validation": 5, "test": 5}
    assert rows.task.labels == ("cat", "dog")
    marks = {"iscrowd": [False], "ignore": [False]}
    assert rows.splits["train"][1]["objects"] == {"bbox": [[2, 2, 10, 11]], "category": [1], **marks}
    assert not any(rows.splits["train"][4]["objects"].values())
    assert rows.task.references(rows.splits["test"])[0]["boxes"].tolist() == [[2, 2, 10, 11]]


def test_what_is_wrong_with_a_coco_folder_is_said(tmp_path):
    with pytest.raises(DataError, match=r"row 0: .* does not lie in the image of 30 x 20"):
        _load(_coco(tmp_path / "outside", "coco", boxes=[(25, 2, 20, 9)]))
    root = _coco(tmp_path / "missing", "roboflow")
    (root / "train" / "3.png").unlink()
    with pytest.raises(DataError, match=r"1 of 5 images are not in .*first '3\.png'"):
        _load(root)
    turned = Image.open(root / "train" / "2.png").copy()
    exif = turned.getexif()
    exif[0x0112] = 6
    Image.open(root / "train" / "4.png").save(root / "train" / "3.png")
    turned.save(root / "train" / "2.png", exif=exif)
    with pytest.raises(DataError, match=r"'2\.png' are for 30 x 20 pixels, and the image has 20 x 30 after its EXIF"):
        _load(root)
    (root / "train" / "_annotations.coco.json").write_text("[1]")
    with pytest.raises(DataError, match="is not COCO: it has no list 'images'"):
        _load(root)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no COCO JSON"):
        _load(tmp_path / "empty")


def test_a_mirrored_image_takes_its_boxes_with_it():
    task = plugins.load("tasks", "object-detection")(flip=True)
    pixels = np.arange(2 * 3, dtype=np.float32)
    row = {"pixel_values": pixels, "shape": [1, 2, 3], "boxes": np.array([0.2, 0.5, 0.1, 0.3], np.float32)}
    row["class_labels"] = np.array([4])
    seen = [task.augment(row, np.random.default_rng(seed)) for seed in range(8)]
    mirrored = next(one for one in seen if one["pixel_values"][0] == 2)
    np.testing.assert_allclose(mirrored["boxes"], [0.8, 0.5, 0.1, 0.3], rtol=1e-6)
    assert any(one["pixel_values"][0] == 0 and one["boxes"][0] == np.float32(0.2) for one in seen)


def test_a_part_of_an_image_keeps_the_boxes_that_are_half_in_it():
    boxes = np.array([[0.5, 0.5, 0.2, 0.2], [0.26, 0.5, 0.2, 0.2], [0.05, 0.5, 0.1, 0.1]])
    found, kept = _boxes.within(boxes, (0.25, 0.0, 0.75, 1.0))
    assert kept.tolist() == [True, True, False]
    np.testing.assert_allclose(found, [[0.5, 0.5, 0.4, 0.2], [0.11, 0.5, 0.22, 0.2]])
    task = plugins.load("tasks", "object-detection")(crop=0.3)
    row = {"pixel_values": np.ones(3 * 8 * 8, np.float32), "shape": [3, 8, 8], "boxes": boxes.ravel()}
    row["class_labels"] = np.array([1, 2, 3])
    for seed in range(20):
        seen = task.augment(row, np.random.default_rng(seed))
        assert len(seen["pixel_values"]) == 192 and 4 * len(seen["class_labels"]) == len(seen["boxes"])


def test_each_coco_file_numbers_its_categories_by_itself(tmp_path):
    root = _coco(tmp_path, "roboflow")
    before = _load(root).splits["train"]["objects"][:]
    file = root / "test" / "_annotations.coco.json"
    table = json.loads(file.read_text())
    table["categories"] = [{"id": 8, "name": "cat"}, {"id": 7, "name": "dog"}]
    file.write_text(json.dumps(table))
    rows = _load(root)
    assert rows.splits["train"]["objects"][:] == before
    assert rows.task.references(rows.splits["test"])[0]["labels"] == ["dog"]


_YAML = "train: images/train\nval: images/val\ntest: images/test\nnames: {0: cat, 1: dog}\n"


def _yolo(root, layout, line="1 0.2 0.5 0.2 0.4"):
    """A folder with three splits of three images: a dog, the outline of a cat, and nothing."""
    for split in ("train", "val", "test"):
        images = root / {"ultralytics": f"images/{split}", "roboflow": f"{split}/images", "labelimg": split}[layout]
        texts = root / {"ultralytics": f"labels/{split}", "roboflow": f"{split}/labels", "labelimg": split}[layout]
        for folder in (images, texts):
            folder.mkdir(parents=True, exist_ok=True)
        for number, written in enumerate((line, "0 0.1 0.2 0.5 0.2 0.3 0.6\n")):
            (texts / f"{number}.txt").write_text(written)
        for number in range(3):
            pixels = np.random.default_rng([number, ord(split[1])]).integers(0, 255, (20, 30, 3))
            Image.fromarray(pixels.astype("uint8")).save(images / f"{number}.png")
    names = {"ultralytics": ("data.yaml", _YAML), "roboflow": ("data.yaml", "names: [cat, dog]\n")}
    file, content = names.get(layout, ("train/classes.txt", "cat\ndog\n"))
    (root / file).write_text(content)
    return root


@pytest.mark.parametrize("layout", ["ultralytics", "roboflow", "labelimg"])
def test_a_yolo_folder_has_its_splits_names_and_empty_images(layout, tmp_path):
    rows = _load(_yolo(tmp_path, layout), "yolo")
    assert rows.facts.rows == {"train": 3, "validation": 3, "test": 3} and rows.task.labels == ("cat", "dog")
    dog, cat, nothing = rows.splits["train"]["objects"][:]
    np.testing.assert_allclose(dog["bbox"], [[3, 6, 9, 14]], rtol=1e-6)
    np.testing.assert_allclose(cat["bbox"], [[3, 4, 15, 12]], rtol=1e-6)
    assert (dog["category"], cat["category"], nothing["category"]) == ([1], [0], [])


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("dog 0.2 0.5 0.2 0.4", r"0\.txt:1: 'dog 0\.2 .*' is not the number of a class"),
        ("1 0.2 0.5 0.2", "is not the number of a class and four shares"),
        ("1 20 10 4 4", "is no box within the image"),
        ("7 0.2 0.5 0.2 0.4", "a box has the class 7; only 2 are named"),
    ],
)
def test_what_is_wrong_with_a_yolo_folder_is_said(line, said, tmp_path):
    with pytest.raises(DataError, match=said):
        _load(_yolo(tmp_path, "ultralytics", line), "yolo")


def test_images_without_boxes_or_beyond_the_splits_are_told(tmp_path):
    root = _yolo(tmp_path / "some", "labelimg")
    (root / "more").mkdir()
    for file in ("0.png", "0.txt"):
        (root / "train" / file).rename(root / "more" / file)
    with pytest.raises(DataError, match=r"more/0\.png' has boxes, and is in no folder"):
        _load(root, "yolo")
    (tmp_path / "bare").mkdir()
    Image.new("RGB", (9, 9)).save(tmp_path / "bare" / "0.png")
    with pytest.raises(DataError, match="none of the 1 images in .* has boxes"):
        _load(tmp_path / "bare", "yolo")


def test_a_yolo_yaml_of_another_machine_says_which_images_are_of_which_split(tmp_path):
    root = _yolo(tmp_path, "ultralytics")
    for folder in ("images", "labels"):
        for split, name in (("train", "a"), ("val", "b"), ("test", "c")):
            (root / folder / split).rename(root / folder / name)
    (root / "a.yaml").write_text("names: !unknown 3")
    listed = "".join(f"/content/set/images/c/{number}.png\n" for number in range(2))
    (root / "c.txt").write_text(listed)
    places = "train: ../images/a\nval: /content/set/images/b\ntest: c.txt\n"
    (root / "data.yaml").write_text(places + "names: {'0': cat, '1': dog}\n")
    (root / "images" / "a" / ".hidden").mkdir()
    Image.new("RGB", (9, 9)).save(root / "images" / "a" / ".hidden" / "0.png")
    rows = _load(root, "yolo")
    assert rows.facts.rows == {"train": 3, "validation": 3, "test": 2} and rows.task.labels == ("cat", "dog")
    for content, said in (("names: 3", "should be a list"), ("names: [cat, cat]", "two classes have the name")):
        (root / "data.yaml").write_text(places + content)
        with pytest.raises(DataError, match=said):
            _load(root, "yolo")
    (root / "data.yaml").write_text(places.replace("images/b", "images/a") + "names: [cat, dog]")
    with pytest.raises(DataError, match="an image is in two splits"):
        _load(root, "yolo")


def test_lists_of_names_that_differ_and_rows_without_boxes_are_told(tmp_path):
    root = _yolo(tmp_path, "labelimg")
    (root / "val" / "classes.txt").write_text("dog\ncat\n")
    with pytest.raises(DataError, match="name different classes"):
        _load(root, "yolo")
    (root / "val" / "classes.txt").unlink()
    for file in (root / "test").glob("*.txt"):
        file.unlink()
    with pytest.raises(DataError, match="no image of split 'test' has a box"):
        _load(root, "yolo")


@pytest.mark.parametrize(
    ("key", "entry", "said"),
    [
        ("annotations", {"image_id": 0, "category_id": 7}, "entry 0 of 'annotations' has no 'bbox'"),
        ("annotations", {"image_id": 0, "category_id": 7, "bbox": "1,2,3,4"}, "not four numbers"),
        ("annotations", {"image_id": 99, "category_id": 7, "bbox": [1, 2, 3, 4]}, "image_id 99, which is not listed"),
        ("categories", {"id": 7}, "entry 0 of 'categories' has no 'name'"),
        ("images", "0.png", "entry 0 of 'images' has no 'id'"),
    ],
)
def test_a_hole_in_a_coco_file_is_named(key, entry, said, tmp_path):
    root = _coco(tmp_path, "coco")
    file = root / "annotations" / "instances_train2017.json"
    table = json.loads(file.read_text())
    file.write_text(json.dumps(table | {key: [entry, *table[key][1:]]}))
    with pytest.raises(DataError, match=said):
        _load(root)


def test_images_of_many_shapes_are_scored_without_padding(tmp_path):
    import torch
    from transformers import YolosConfig, YolosForObjectDetection, YolosImageProcessor

    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = YolosConfig(image_size=[32, 32], patch_size=8, num_detection_tokens=3, **sizes)
    model = YolosForObjectDetection(config).eval()
    processor = YolosImageProcessor(size={"shortest_edge": 24, "longest_edge": 48})
    task = plugins.load("tasks", "object-detection")()
    task = task.with_processor(task.open_processor(lambda _name: processor, config, None))
    images = [Image.new("RGB", size, "gray") for size in ((60, 40), (40, 60), (60, 40))]
    rows = {"image": images, "objects": [{"bbox": [[1, 2, 3, 4]], "category": [0]}] * 3}
    encoded = task.encode(rows)
    inputs = Dataset.from_dict(encoded.inputs)
    with torch.no_grad():
        together = task.outputs(model, task.collate([inputs[i] for i in range(3)]), encoded.side)
        second = {name: values[1:2] for name, values in encoded.side.items()}
        alone = task.outputs(model, task.collate([inputs[1]]), second)
    np.testing.assert_allclose(together["boxes"][1], alone["boxes"][0], atol=1e-6)
    assert np.array(encoded.side["original_size"]).tolist() == [[40, 60], [60, 40], [40, 60]]
    assert "pixel_mask" not in task.collate([inputs[0]])


def test_images_of_which_the_first_have_no_box_are_scored(tmp_path):
    root = _yolo(tmp_path, "labelimg")
    for split in ("train", "val", "test"):
        for number in range(10):
            pixels = np.random.default_rng([number, ord(split[2])]).integers(0, 255, (20, 30, 3))
            Image.fromarray(pixels.astype("uint8")).save(root / split / f"-{number}.png")
    rows = _load(root, "yolo")
    assert not any(objects["category"] for objects in rows.splits["test"]["objects"][:10])
    check_metric("map", rows.task, {"test": rows.splits["test"]})


def test_boxes_are_asked_about_only_where_no_format_settles_them(tmp_path):
    images, annotations, lines = [], [], []
    for number in range(24):
        file = tmp_path / "coco" / f"{number}.png"
        file.parent.mkdir(exist_ok=True)
        Image.new("L", (30, 20), number).save(file)
        images.append({"id": number, "file_name": file.name})
        annotations.append({"image_id": number, "category_id": 1, "bbox": [2, 2, 12, 9]})
        objects = {"bbox": [[2, 2, 12, 9]], "category": ["cat"]}
        lines.append(json.dumps({"image": str(file), "objects": objects}))
    table = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "cat"}]}
    (tmp_path / "coco" / "result.json").write_text(json.dumps(table))
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    model = tiny.checkpoint(plugins.load("tasks", "object-detection")(), tmp_path / "model")
    asked = {}
    for source in (f"{{name: coco, path: {tmp_path / 'coco'}}}", f"{{name: json, train: {tmp_path / 'rows.jsonl'}}}"):
        data = f"{{source: {source}, splits: {{validation: 4, test: 4}}}}"
        text = f"task: object-detection\nmodel: {{id: {model}}}\ndata: {data}\ntraining: {{use_cpu: true}}\n"
        plan = check(parse_recipe(text))
        asked[plan.recipe.data.source.name] = any("task.box_format: pascal_voc?" in line for line in plan.warnings)
    assert asked == {"coco": False, "json": True}


def test_a_split_of_data_yaml_that_is_not_there_is_left_out(tmp_path):
    for split in ("train", "valid"):
        _picture_with_box(tmp_path / split)
    lines = "train: ../train/images\nval: ../valid/images\ntest: ../test/images\nnames: [a]\n"
    (tmp_path / "data.yaml").write_text(lines)
    source = plugins.load("sources", "yolo")(path=str(tmp_path))
    assert set(source.load()) == {"train", "validation"}
    assert "there is no '../test/images'" in source.warnings[0] and "'test' is left out" in source.warnings[0]
    (tmp_path / "data.yaml").write_text(lines.replace("../train/", "../trian/"))
    with pytest.raises(DataError, match="there is no '../trian/images'"):
        source.load()


def _picture_with_box(folder):
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True)
    Image.new("RGB", (8, 8), (len(folder.name), 0, 0)).save(folder / "images" / "1.png")
    (folder / "labels" / "1.txt").write_text("0 0.5 0.5 0.2 0.2\n")
