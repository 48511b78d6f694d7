"""Splits out of real rows and out of files of one's own; what is wrong with them is said in a sentence."""

import numpy as np
import pytest
from datasets import Dataset
from PIL import Image
from sklearn.model_selection import train_test_split

from hftransfer import tasks
from hftransfer.core.errors import DataError, RecipeError
from hftransfer.data.load import load_rows
from hftransfer.data.stratified import sample
from hftransfer.recipe.loader import parse_recipe
from hftransfer.runner.data_warnings import classes_without_test_rows
from hftransfer.runner.specs import data_options


def _load(task, source, more=""):
    text = f"task: {task}\nmodel: {{id: 'sample:minilm'}}\ndata:\n  source: {source}\n  {more}\n"
    recipe = parse_recipe(text)
    return load_rows(recipe.task, recipe.data.source.load(), data_options(recipe.data), recipe.seed)


def test_bbc_news_gets_three_disjoint_splits_and_its_copies_are_counted():
    rows = _load("text-classification", "{name: sample, id: bbc_news}", "splits: {validation: 100, test: 400}")
    texts = {name: set(split["text"]) for name, split in rows.splits.items()}
    assert not texts["train"] & texts["test"] and not texts["validation"] & texts["test"]
    assert rows.facts.rows["test"] == 400
    assert rows.facts.duplicates_removed["train"] > 10
    assert rows.task.labels == ("business", "entertainment", "politics", "sports", "tech")


def test_classes_that_are_spelled_alike_are_reported(tmp_path):
    labels = ["Spam", "spam", " spam", "ham", " other"]
    (tmp_path / "a.csv").write_text("text,label\n" + "".join(f"text {n},{labels[n % 5]}\n" for n in range(50)))
    rows = _load("text-classification", f"{{name: csv, train: {tmp_path / 'a.csv'}}}")
    assert rows.task.labels == ("Spam", "ham", "other", "spam")
    alike, spaced = rows.warnings
    assert "differ in case or spaces alone" in alike and "'Spam' (10 rows) and 'spam' (20 rows)" in alike
    assert spaced.endswith("without the spaces around them: ' spam' (10 rows) as 'spam'")


def test_few_labelled_rows_among_many_are_read(tmp_path):
    lines = "".join(f"text {n},{'ab'[n // 20 % 2] if n % 20 == 0 else ''}\n" for n in range(120))
    (tmp_path / "a.csv").write_text("text,label\n" + lines)
    rows = _load("text-classification", f"{{name: csv, train: {tmp_path / 'a.csv'}}}", "on_error: skip")
    assert rows.facts.skipped["train"] == 114
    texts = [text for split in rows.splits.values() for text in split["text"][:]]
    assert sorted(texts) == sorted(f"text {n}" for n in range(0, 120, 20))


def test_a_split_has_the_rows_that_scikit_learn_would_take():
    for seed in range(100):
        rng = np.random.default_rng(seed)
        classes = np.repeat(rng.choice(["a", "ab", "B", "é"], 4, replace=False), rng.integers(2, 40, 4))
        rng.shuffle(classes)
        count = int(rng.integers(4, len(classes) - 3))
        for strata in (None, classes.tolist()):
            _, part = train_test_split(range(len(classes)), test_size=count, stratify=strata, random_state=seed)
            assert sorted(sample(len(classes), count, strata, seed)) == sorted(part)


def test_shots_are_drawn_by_the_seed_and_the_same_each_time():
    first, second = (_load("image-classification", "{name: sample, id: digits}", "shots: 5") for _ in range(2))
    assert set(first.facts.classes["train"].values()) == {5}
    assert first.facts.fingerprint == second.facts.fingerprint


def test_a_fingerprint_that_is_computed_otherwise_has_another_version(tmp_path):
    """Where this fails, raise FINGERPRINT_VERSION and write down the new one: older runs are not comparable."""
    rows = _load("text-classification", _csv(tmp_path / "rows.csv", GOOD), "columns: {text: body, label: topic}")
    assert (rows.facts.fingerprint_version, rows.facts.fingerprint[:16]) == (2, "855fe642a6faa908")


def test_a_first_look_takes_some_rows_of_each_split_the_same_each_time():
    first, second = (_load("image-classification", "{name: sample, id: digits}", "max_rows: 100") for _ in range(2))
    assert sum(first.facts.rows.values()) == 100 and first.facts.fingerprint == second.facts.fingerprint


def _csv(path, rows):
    path.write_text("\n".join(["body,topic", *rows]) + "\n")
    return "{name: csv, train: " + str(path) + "}"


GOOD = [f"text {i},{'ab'[i % 2]}" for i in range(40)]


def test_columns_of_any_name_are_mapped(tmp_path):
    rows = _load("text-classification", _csv(tmp_path / "a.csv", GOOD), "columns: {text: body, label: topic}")
    assert rows.task.labels == ("a", "b") and set(rows.splits["train"].column_names) == {"text", "label"}


@pytest.mark.parametrize(
    ("rows", "more", "said"),
    [
        (GOOD, "columns: {text: boddy, label: topic}", "did you mean 'body'"),
        (GOOD, "columns: {txt: body, label: topic}", "did you mean 'text'"),
        ([f",{'ab'[i % 2]}" for i in range(40)], "columns: {text: body, label: topic}", "40 of 40 rows"),
        (GOOD, "{columns: {text: body, label: topic}, splits: {test: 50}}", "asks for 50 rows"),
    ],
)
def test_a_mistake_in_the_rows_gets_a_sentence(tmp_path, rows, more, said):
    more = more.strip("{}") if more.startswith("{") else more
    source = _csv(tmp_path / "a.csv", rows)
    if "splits" in more:
        more = "columns: {text: body, label: topic}\n  splits: {test: 50}"
    with pytest.raises(DataError, match=said):
        _load("text-classification", source, more)


@pytest.mark.parametrize(("name", "said"), [("20%", "is written as a fraction: 0.2"), ("tran", "did you mean 'train'")])
def test_a_split_that_is_not_there_gets_a_sentence(name, said, tmp_path):
    more = f"columns: {{text: body, label: topic}}\n  splits: {{test: {name}}}"
    with pytest.raises(DataError, match=f"the source has no split '{name}'; .*{said}"):
        _load("text-classification", _csv(tmp_path / "a.csv", GOOD), more)


@pytest.mark.parametrize(("names", "asks"), [(("a", "b", "rare"), False), (("1", "2", "3"), True)])
def test_a_regression_is_meant_only_where_all_classes_are_numbers(names, asks, tmp_path):
    lines = [f"text {i},{names[i % 2]}" for i in range(40)]
    source = _csv(tmp_path / "a.csv", [*lines, f"alone,{names[2]}"])
    rows = _load("text-classification", source, "columns: {text: body, label: topic}")
    (warning,) = classes_without_test_rows(rows)
    assert f"1 of 3 classes have no test row ({names[2]})" in warning and ("a regression" in warning) == asks


def test_pairs_whose_texts_join_alike_are_no_duplicates(tmp_path):
    pairs = [(f"part {i}1,2{i},x", f"part {i},12{i},y") for i in range(1, 31)]
    (tmp_path / "a.csv").write_text("\n".join(["text,text_pair,label", *(row for pair in pairs for row in pair)]))
    found = _load("text-classification", "{name: csv, train: " + str(tmp_path / "a.csv") + "}")
    assert sum(found.facts.rows.values()) == 60 and not any(found.facts.duplicates_removed.values())


def test_a_class_of_one_row_trains_and_the_others_are_drawn_in_proportion(tmp_path):
    source = _csv(tmp_path / "a.csv", [*GOOD, "lonely,c"])
    rows = _load("text-classification", source, "columns: {text: body, label: topic}")
    assert rows.facts.classes["train"]["c"] == 1 and rows.facts.classes["test"] == {"a": 4, "b": 4}


def test_rows_of_a_group_stay_together(tmp_path):
    lines = [f"text {i},{'ab'[i % 2]},patient {i // 4}" for i in range(80)]
    (tmp_path / "a.csv").write_text("\n".join(["body,topic,who", *lines]))
    source, columns = (
        "{name: csv, train: " + str(tmp_path / "a.csv") + "}",
        "columns: {text: body, label: topic, group: who}",
    )
    rows = _load("text-classification", source, f"{columns}\n  splits: {{by_group: true, test: 20, validation: 0.1}}")
    owners = {split: set(it["group"][:]) for split, it in rows.splits.items()}
    assert not owners["train"] & owners["test"] and not owners["train"] & owners["validation"]
    assert rows.facts.rows == {"test": 20, "validation": 8, "train": 52}
    with pytest.raises(DataError, match=r"data\.splits\.by_group: the rows have no groups"):
        _load("text-classification", source, "columns: {text: body, label: topic}\n  splits: {by_group: true}")
    with pytest.raises(DataError, match="cannot be taken from 2 groups"):
        _load(
            "text-classification", source, f"{columns.replace('who', 'topic')}\n  splits: {{by_group: true, test: 3}}"
        )


def test_words_that_other_readers_take_for_nothing_are_words(tmp_path):
    rows = [f"text {i},{['None', 'NA'][i % 2]}" for i in range(40)]
    found = _load("text-classification", _csv(tmp_path / "a.csv", rows), "columns: {text: body, label: topic}")
    assert found.task.labels == ("NA", "None")


def test_a_space_behind_a_label_is_none(tmp_path):
    columns = "columns: {text: body, label: topic}"
    rows = _load("text-classification", _csv(tmp_path / "a.csv", [*GOOD, "another,a "]), columns)
    assert rows.task.problem_type == "single_label_classification" and rows.task.labels == ("a", "b")


def test_codes_keep_their_noughts(tmp_path):
    rows = [f"{i},{['01', '1', '10'][i % 3]}" for i in range(40)]
    found = _load("text-classification", _csv(tmp_path / "a.csv", rows), "columns: {text: body, label: topic}")
    assert set(found.task.labels) == {"01", "1", "10"} and "7" in {
        t for it in found.splits.values() for t in it["text"]
    }


def test_numbers_are_given_names(tmp_path):
    source = _csv(tmp_path / "a.csv", [f"text {i},{i % 2}" for i in range(40)])
    columns = "columns: {text: body, label: topic}"
    found = _load("text-classification", source, f"{columns}\n  names: [ham, spam]")
    assert found.task.labels == ("ham", "spam") and found.facts.classes["test"] == {"ham": 4, "spam": 4}
    with pytest.raises(DataError, match="data.names: there are 1, from 0 on, and the role 'label' has a 1"):
        _load("text-classification", source, f"{columns}\n  names: [ham]")
    tagged = [{"tokens": ["a", str(i)], "tags": [0, 1 + i % 2]} for i in range(40)]
    Dataset.from_list(tagged).to_json(tmp_path / "rows.json")
    source = "{name: json, train: " + str(tmp_path / "rows.json") + "}"
    found = _load("token-classification", source, "names: [O, B-PER, I-PER]")
    assert found.task.labels == ("O", "B-PER", "I-PER") and found.task.metric_options()["scheme"] == "chunks"
    with pytest.raises(DataError, match="the role 'label' holds no whole numbers"):
        _load("text-classification", _csv(tmp_path / "a.csv", GOOD), f"{columns}\n  names: [a, b]")


def test_a_blank_label_is_none(tmp_path):
    rows = [{"text": f"text {i}", "label": " " if i == 3 else "ab"[i % 2]} for i in range(40)]
    Dataset.from_list(rows).to_json(tmp_path / "a.json")
    source = "{name: json, train: " + str(tmp_path / "a.json") + "}"
    with pytest.raises(DataError, match="first row 3: the label is empty"):
        _load("text-classification", source)
    several = "{name: text-classification, problem_type: multi_label_classification}"
    assert sum(_load(several, source).facts.rows.values()) == 40


def test_a_title_and_a_body_are_one_text(tmp_path):
    rows = [f"title {i},{'ab'[i % 2]}" for i in range(40)]
    found = _load("text-classification", _csv(tmp_path / "a.csv", rows), "columns: {text: [body, topic], label: topic}")
    assert all(text.startswith("title ") and text[-2:] in ("\na", "\nb") for text in found.splits["train"]["text"])


def test_what_is_no_number_can_be_left_out(tmp_path):
    source = _csv(tmp_path / "a.csv", [f"text {i},{'inf' if i == 7 else i / 9}" for i in range(40)])
    task, columns = "{name: text-classification, problem_type: regression}", "columns: {text: body, label: topic}"
    with pytest.raises(DataError, match="first row 7: the label is 'inf', not a number"):
        _load(task, source, columns)
    assert _load(task, source, f"{columns}\n  on_error: skip").facts.skipped["train"] == 1


def test_labels_of_a_regression_that_are_hidden_are_told_of(tmp_path):
    source = _csv(tmp_path / "a.csv", [f"text {i},{i / 7}" for i in range(40)])
    _csv(tmp_path / "b.csv", [f"other {i},-1.0" for i in range(9)])
    source = source.replace("}", f", test: {tmp_path / 'b.csv'}}}")
    with pytest.raises(DataError, match=r"labels of split 'test' are all -1\.0"):
        _load("text-classification", source, "columns: {text: body, label: topic}")


def test_one_label_may_stand_in_a_list_or_in_columns(tmp_path):
    head, rows = "body,cat,dog", [f"text {i},{i % 2},{1 - i % 2}" for i in range(40)]
    (tmp_path / "a.csv").write_text("\n".join([head, *rows]))
    source = "{name: csv, train: " + str(tmp_path / "a.csv") + "}"
    task = "{name: text-classification, problem_type: single_label_classification}"
    found = _load(task, source, "columns: {text: body, label: [cat, dog]}")
    assert found.task.labels == ("cat", "dog") and sum(found.facts.classes["test"].values()) == 8
    (tmp_path / "a.csv").write_text("\n".join([head, *rows, "both,1,1"]))
    with pytest.raises(DataError, match="a row has 2 labels"):
        _load(task, source, "columns: {text: body, label: [cat, dog]}")


def test_a_row_of_several_labels_may_have_none(tmp_path):
    rows = [f"text {i},{['x;y', 'y', ''][i % 3]}" for i in range(40)]
    task = "{name: text-classification, problem_type: multi_label_classification, separator: ;}"
    found = _load(task.replace(": ;", ": ';'"), _csv(tmp_path / "a.csv", rows), "columns: {text: body, label: topic}")
    assert found.task.labels == ("x", "y") and [0.0, 0.0] in found.splits["train"]["label"][:]


def test_scores_may_be_told_for_each_label(tmp_path):
    rows = _load(
        "text-classification", _csv(tmp_path / "a.csv", GOOD), "columns: {text: body, label: topic, group: topic}"
    )
    assert set(rows.splits["test"]["group"]) == {"a", "b"} and rows.task.labels == ("a", "b")


def test_a_number_without_a_name_is_no_label(tmp_path):
    from datasets import ClassLabel, Features, Value

    columns = {"text": [f"text {i}" for i in range(40)], "label": [-1 if i == 7 else i % 2 for i in range(40)]}
    features = Features({"text": Value("string"), "label": ClassLabel(names=["no", "yes"])})
    Dataset.from_dict(columns, features).to_parquet(tmp_path / "rows.parquet")
    source = "{name: parquet, train: " + str(tmp_path / "rows.parquet") + "}"
    with pytest.raises(DataError, match="1 of 40 rows .*first row 7: the label -1 is none of the classes"):
        _load("text-classification", source)
    rows = _load("text-classification", source, "on_error: skip")
    assert rows.facts.skipped["train"] == 1 and rows.task.labels == ("no", "yes")
    # Who learns without labels needs none.
    assert sum(_load("fill-mask", source).facts.rows.values()) == 40


@pytest.mark.parametrize("seed", range(6))
def test_rows_that_alone_have_a_label_train(seed, tmp_path):
    lists = [f"text {i},{'x;rare' if i == 7 else ['x;y', 'y', 'x'][i % 3]}" for i in range(40)]
    more = "columns: {text: body, label: topic}\n  splits: {validation: 10, test: 20}\nseed: " + str(seed)
    task = "{name: text-classification, separator: ';'}"
    found = _load(task, _csv(tmp_path / "a.csv", lists), more)
    assert found.task.labels == ("rare", "x", "y") and "text 7" in found.splits["train"]["text"][:]
    assert sum(found.facts.rows.values()) == 40
    tagged = [{"tokens": ["a", str(i)], "tags": ["O", "B-RARE" if i == 7 else "B-X"]} for i in range(40)]
    Dataset.from_list(tagged).to_json(tmp_path / "rows.json")
    source = "{name: json, train: " + str(tmp_path / "rows.json") + "}"
    found = _load("token-classification", source, "splits: {validation: 10, test: 20}\nseed: " + str(seed))
    assert found.task.labels == ("O", "B-RARE", "B-X") and ["a", "7"] in found.splits["train"]["tokens"][:]


def test_labels_in_columns_of_their_own_are_read_as_they_are_written(tmp_path):
    head, rows = "body,toxic,rude", [f"text {i},{['yes', 'no'][i % 2]},{i % 3 == 0:d}.0" for i in range(40)]
    (tmp_path / "a.csv").write_text("\n".join([head, *rows]))
    source = "{name: csv, train: " + str(tmp_path / "a.csv") + "}"
    found = _load("text-classification", source, "columns: {text: body, label: [toxic, rude]}")
    assert found.task.labels == ("rude", "toxic")
    told = dict(zip(found.splits["test"]["text"], found.splits["test"]["label"], strict=True))
    assert all(label == [float(int(t[5:]) % 3 == 0), float(int(t[5:]) % 2 == 0)] for t, label in told.items())


def test_recordings_are_read_from_a_table_of_paths(tmp_path):
    import soundfile

    for i in range(20):
        soundfile.write(tmp_path / f"{i}.wav", 0.3 * np.sin(np.arange(4000) * (0.1 + i / 100)), 8000)
    rows = [f"{tmp_path / str(i)}.wav,{'ab'[i % 2]}" for i in range(20)]
    found = _load("audio-classification", _csv(tmp_path / "a.csv", rows), "columns: {audio: body, label: topic}")
    assert found.task.labels == ("a", "b")


def test_recordings_are_read_from_samples_and_their_rate(tmp_path):
    from hftransfer.core import features

    rows = [
        {
            "audio": {"path": None, "array": np.sin(np.arange(4000) * i / 99), "sampling_rate": 8000},
            "label": "ab"[i % 2],
        }
        for i in range(1, 21)
    ]
    Dataset.from_list(rows).to_parquet(tmp_path / "a.parquet")
    found = _load("audio-classification", "{name: parquet, train: " + str(tmp_path / "a.parquet") + "}")
    samples, rate = features.open_audio(features.location(found.splits["test"][0]["audio"]))
    assert (len(samples), rate) == (4000, 8000) and any(np.allclose(samples, it["audio"]["array"]) for it in rows)


def test_a_corrupt_image_is_named_and_can_be_left_out(tmp_path):
    for split, count in (("train", 6), ("test", 3)):
        for label in ("cat", "dog"):
            folder = tmp_path / split / label
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = np.random.default_rng(i + 100 * (label == "cat") + 1000 * (split == "test")).integers(
                    0, 255, (9, 9, 3)
                )
                Image.fromarray(pixels.astype("uint8")).save(folder / f"{i}.png")
    source = "{name: imagefolder, path: " + str(tmp_path) + "}"
    assert _load("image-classification", source, "splits: {validation: 2}").facts.rows["test"] == 6
    (tmp_path / "train" / "cat" / "0.png").write_bytes(b"\x89PNG not really")
    with pytest.raises(DataError, match=r"0\.png is not a readable image"):
        _load("image-classification", source, "splits: {validation: 2}")
    assert (
        _load("image-classification", source, "splits: {validation: 2}\n  on_error: skip").facts.skipped["train"] == 1
    )


def test_pictures_of_more_than_8_bits_keep_what_they_show():
    from hftransfer.core import media

    shades = np.array([[0, 100], [200, 255]])
    deep = (((shades * 257).astype(np.uint16), None), ((shades * 16).astype(np.uint16), (0, 255 * 16)))
    for whole, pixel_range in deep:
        assert np.asarray(media.rgb(Image.fromarray(whole), pixel_range))[..., 0].tolist() == shades.tolist()
    with pytest.raises(ValueError, match="decimals"):
        media.rgb(Image.fromarray(shades.astype(np.float32)))


def test_the_rows_that_the_shots_leave_are_unlabelled():
    source = "{name: sample, id: bbc_news}"
    with pytest.raises(RecipeError, match="is for strategy distill"):
        _load("text-classification", source, "shots: 5\n  unlabelled: rest")
    with pytest.raises(RecipeError, match="needs 'data.shots'"):
        _load("text-classification", source, "unlabelled: rest\nstrategy: {name: distill, teacher: x}")
    rows = _load("text-classification", source, "shots: 5\n  unlabelled: rest\nstrategy: {name: distill, teacher: x}")
    texts = {name: set(split["text"]) for name, split in rows.splits.items()}
    assert rows.splits["unlabelled"].column_names == ["text"] and len(texts["unlabelled"]) > 1000
    assert all(not texts["unlabelled"] & texts[name] for name in ("train", "validation", "test"))
    assert rows.facts.rows["unlabelled"] == len(rows.splits["unlabelled"])


def test_a_split_without_labels_is_read_without_them(tmp_path):
    files = {
        "train": ["body,topic", *(f"good {i},{'xy'[i % 2]}" for i in range(20))],
        "more": ["body", "new", "good 3"],
    }
    for name, lines in files.items():
        (tmp_path / f"{name}.csv").write_text("\n".join(lines) + "\n")
    source = f"{{name: csv, train: {tmp_path / 'train.csv'}, unlabelled: {tmp_path / 'more.csv'}}}"
    more = "columns: {text: body, label: topic}\n  unlabelled: unlabelled\nstrategy: {name: distill, teacher: x}"
    rows = _load("text-classification", source, more)
    # `good 3` stands among the labelled rows.
    assert rows.splits["unlabelled"]["text"] == ["new"] and rows.facts.duplicates_removed["unlabelled"] == 1
    (tmp_path / "train.csv").write_text(
        "\n".join(["body,topic,other", *(f"good {i},{'xy'[i % 2]},b" for i in range(20))])
    )
    pairs = more.replace("label: topic", "label: topic, text_pair: other")
    with pytest.raises(DataError, match="split 'unlabelled' has no column"):
        _load("text-classification", source, pairs)
    (tmp_path / "more.csv").write_text("body\ngood 3\n")
    (tmp_path / "train.csv").write_text("\n".join(files["train"]) + "\n")
    with pytest.raises(DataError, match="split 'unlabelled' is empty once duplicates are removed"):
        _load("text-classification", source, more)


def test_rare_labels_do_not_stop_what_learns_without_them(tmp_path):
    rows = _csv(tmp_path / "a.csv", [f"text {i},{i}-{'ab'[i % 2]}" for i in range(40)])
    assert len(_load("fill-mask", rows, "columns: {text: body, label: topic}").splits["test"]) == 8


def test_the_splits_that_were_drawn_are_told(tmp_path):
    rows = _load("text-classification", _csv(tmp_path / "a.csv", GOOD), "columns: {text: body, label: topic}")
    assert rows.sizes == {"test": 0.2, "validation": 0.1}
    named = _csv(tmp_path / "a.csv", GOOD).replace("}", f", test: {tmp_path / 'b.csv'}}}")
    (tmp_path / "b.csv").write_text("body,topic\nother,a\nstranger,b\n")
    rows = _load("text-classification", named, "columns: {text: body, label: topic}")
    assert rows.sizes == {"test": "test", "validation": 0.1}


def test_a_row_counts_as_much_disk_as_the_others(tmp_path, monkeypatch):
    """The first row is the shortest; by it alone, all would seem to fit."""
    from hftransfer.data import encode

    class Task:
        augments, pack = False, tasks.Task.pack

        def encode(self, rows):
            return tasks.Encoded({"ids": [np.arange(len(text)) for text in rows["text"]]})

        def collate(self, encoded):
            return encoded

    texts = Dataset.from_dict({"text": ["a", *["b" * 1000] * 99]})
    monkeypatch.setattr(encode, "MAX_CACHE_BYTES", 500_000)
    encode.encode(Task(), {"test": texts}, tmp_path / "lazy")
    assert not list((tmp_path / "lazy").iterdir())
    monkeypatch.setattr(encode, "MAX_CACHE_BYTES", 900_000)
    encode.encode(Task(), {"test": texts}, tmp_path / "kept")
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["test.arrow"]


class _Windows:
    """A task that makes a model input of every letter, and changes its training rows."""

    augments, pack = True, tasks.Task.pack

    def encode(self, rows):
        letters = [(row, letter) for row, text in enumerate(rows["text"]) for letter in text]
        ids, places = [[ord(letter)] for _, letter in letters], [row for row, _ in letters]
        return tasks.Encoded({"ids": ids}, side={"letter": [letter for _, letter in letters]}, row=places)

    def normalize(self, row):
        return row

    def augment(self, row, rng):
        return row

    def collate(self, encoded):
        return encoded


def test_windows_know_their_row_and_only_training_rows_are_augmented(tmp_path):
    from hftransfer.data import encode

    rows = Dataset.from_dict({"text": ["ab", "c", "def"] * 30})
    encoded = encode.encode(_Windows(), {"train": rows, "test": rows}, tmp_path)
    side = encoded.side("test")
    assert side["row"][:6] == [0, 0, 1, 2, 2, 2] and side["row"][-1] == 89 and "".join(side["letter"][:6]) == "abcdef"
    assert encode.ROW in encoded.splits["train"].column_names and encode.ROW not in encoded.splits["test"].column_names
    assert encoded.collate([encoded.splits["train"][0]]) == [{"ids": [97]}]


def test_rows_that_are_encoded_when_they_are_read_have_their_side(tmp_path, monkeypatch):
    from hftransfer.data import encode

    class Task(_Windows):
        augments = False

        def encode(self, rows):
            return tasks.Encoded({"ids": rows["text"]}, side={"size": [len(text) for text in rows["text"]]})

    monkeypatch.setattr(encode, "MAX_CACHE_BYTES", 0)
    rows = Dataset.from_dict({"text": ["ab", "c"]})
    encoded = encode.encode(Task(), {"test": rows}, tmp_path)
    assert not list(tmp_path.iterdir()) and encoded.side("test") == {"size": [2, 1]}
