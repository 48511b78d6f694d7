"""The lists of Pascal VOC, ImageSets/Main and ImageSets/Segmentation: which images each split has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from pathlib import Path

from hftransfer.core.errors import DataError
from hftransfer.data.normal_form import nfc
from hftransfer.sources._split_names import SPLITS
from hftransfer.sources._text_files import read_lines

_ANNOTATION = {"Main": "XML file", "Segmentation": "mask"}


def listed(files: list[Path], folder: str, names: Collection[str]) -> dict[str, list[str]]:
    """Split -> the names of its images, without endings; nothing where no list has the name of a split.

    Args:
        files: all files of the data.
        folder: that of the lists, `Main` or `Segmentation`.
        names: of all images that are annotated.

    Raises:
        DataError: a list names an image without annotation, or one that another list names too.
    """
    lists = {file.stem.lower(): file for file in files if file.suffix == ".txt" and file.parent.name == folder}
    named = {SPLITS[stem]: file for stem, file in lists.items() if stem in SPLITS}
    if "train" not in named and "trainval" in lists:
        # It has the images of val too.
        named = {split: file for split, file in named.items() if split == "test"} | {"train": lists["trainval"]}
    splits: dict[str, list[str]] = {}
    for split, file in named.items():
        lines = [line.split() for line in read_lines(str(file))]
        # CVAT writes names with the ending of the image.
        stems = [nfc(words[0]) for words in lines if words]
        stems = [stem if stem in names else Path(stem).stem for stem in stems]
        if missing := [stem for stem in stems if stem not in names]:
            raise DataError(
                f"{file}: {len(missing)} of {len(stems)} images have no {_ANNOTATION[folder]}, first '{missing[0]}'"
            )
        splits[split] = stems
    counts = Counter(stem for stems in splits.values() for stem in stems)
    if twice := [stem for stem, count in counts.items() if count > 1]:
        raise DataError(f"data.source.path: the lists in ImageSets/{folder} name '{twice[0]}' twice")
    return splits
