"""What a folder may be, by the names of its files: images, recordings, boxes, masks, segments, texts, a search set."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from hftransfer.drafting.heads import encoding_of, head, is_coco, is_conll, is_label_studio, is_yolo
from hftransfer.sources._listing import IMAGES, RECORDINGS, TEXTS, files_below, is_document
from hftransfer.sources._split_names import split_of

# How the folders of images and of masks are called, the usual name first.
_IMAGES = ("images", "image", "imgs", "img", "JPEGImages", "photos", "pictures")
_MASKS = ("masks", "mask", "annotations", "labels", "label", "gt", "segmentations", "SegmentationClass", "annots")
_IMAGE_WORDS, _MASK_WORDS = ({name.lower() for name in names} for names in (_IMAGES, _MASKS))
_SEGMENTS = (".rttm", ".txt", ".csv")
# Files whose heads are read.
_LOOKED_AT = 50


def candidates(root: Path) -> Iterator[dict[str, Any]]:
    """The sources of a folder that is not one of tables, as a recipe writes them, the likeliest first."""
    files = files_below(root)
    names = {file.name for file in files}
    if "dataset_dict.json" in names or {"dataset_info.json", "state.json"} <= names:
        yield {"name": "disk", "path": str(root)}
    for corpus in (file for file in files if file.name == "corpus.jsonl"):
        yield {"name": "beir", "path": str(corpus.parent)}
    images = [file for file in files if IMAGES.includes(file)] if _has_media(files) else []
    recordings = [file for file in files if file.suffix and RECORDINGS.includes(file)]
    if images:
        yield from _of_images(root, files, images)
    if recordings and _has_segments(files, recordings):
        yield {"name": "segments", "path": str(root)}
    media = [("imagefolder", images), ("audiofolder", recordings)]
    for name, found in sorted(media, key=lambda pair: -len(pair[1])):
        if found:
            yield {"name": name, "path": str(root)}
    if not images and not recordings and (texts := _texts_of_classes(files)):
        yield {"name": "textfolder", "path": str(root), **_encoding(texts[:_LOOKED_AT])}


def _encoding(texts: list[Path]) -> dict[str, str]:
    """The encoding of most of the texts that are not ASCII, where it is not UTF-8."""
    counts = Counter(encoding_of(file) for file in texts if not head(file).isascii())
    ((encoding, _),) = counts.most_common(1) or [(None, 0)]
    return {"encoding": encoding} if encoding else {}


def _texts_of_classes(files: list[Path]) -> list[Path]:
    """The texts in folders of classes, if these are most of the files, and no formats of one text for many rows."""
    texts = [file for file in files if TEXTS.includes(file) and not is_document(file)]
    counts = Counter(file.parent for file in texts if not split_of(file.parent.name))
    classes = {folder for folder, count in counts.items() if count > 1}
    found = [file for file in texts if file.parent in classes]
    starts = [head(file) for file in found[:1]]
    is_table = any(is_conll(start) or start.startswith("__label__") for start in starts)
    several = len({folder.name for folder in classes}) > 1
    return found if several and not is_table and len(found) > len(files) / 2 else []


def _has_media(files: list[Path]) -> bool:
    """Whether some files are images by their endings, without which every file would be opened."""
    return any(file.suffix and IMAGES.includes(file) for file in files)


def _of_images(root: Path, files: list[Path], images: list[Path]) -> Iterator[dict[str, Any]]:
    """Images with boxes, with masks, or in a task of Label Studio."""

    def some(suffix: str) -> list[Path]:
        # An empty text is that of an image without boxes.
        found = (it for it in files if it.suffix.lower() == suffix and not is_document(it) and it.stat().st_size)
        return list(islice(found, _LOOKED_AT))

    for file in some(".json"):
        if is_label_studio(head(file)):
            yield {"name": "label_studio", "train": str(file), "folder": str(root)}
    if any(map(is_coco, some(".json"))):
        yield {"name": "coco", "path": str(root)}
    if any("<annotation" in head(file)[:2000] and "<object" in head(file) for file in some(".xml")):
        yield {"name": "voc", "path": str(root)}
    if any(map(is_yolo, some(".txt"))):
        yield {"name": "yolo", "path": str(root)}
    parts = {part for file in images for part in file.relative_to(root).parts[:-1]}
    if pair := _with_masks(parts):
        named = {key: name for key, name in zip(("images", "masks"), pair, strict=True) if name != key}
        yield {"name": "maskfolder", "path": str(root), **named}


def _with_masks(names: set[str]) -> tuple[str, str] | None:
    """The names of folders of images and of their masks: usual ones, or `train` with `train_masks`."""
    folders = {name.lower(): name for name in names}
    pictures, masks = (
        next((folders[name.lower()] for name in usual if name.lower() in folders), None) for usual in (_IMAGES, _MASKS)
    )
    if pictures and masks:
        return pictures, masks
    words = {name: set(re.findall("[a-z]+", name.lower())) for name in sorted(names)}
    described = {name: it - _MASK_WORDS for name, it in words.items() if it & _MASK_WORDS}
    # Of `train` and `val`, the former: the source finds the other one.
    splits = sorted((name for name in words if split_of(name)), key=lambda name: split_of(name) != "train")
    pairs = ((image, mask) for image in splits for mask, it in described.items() if it == words[image] - _IMAGE_WORDS)
    return next(pairs, None)


def _has_segments(files: list[Path], recordings: list[Path]) -> bool:
    """Whether recordings have files of segments: RTTM, or texts of times with their names, or one table of all."""
    stems = {file.stem for file in recordings}
    described = [file for file in files if file.suffix.lower() in _SEGMENTS and not is_document(file)]
    return any(_is_segments(file, stems) for file in described[:_LOOKED_AT])


def _is_segments(file: Path, stems: set[str]) -> bool:
    if file.suffix.lower() == ".rttm":
        return True
    first = next(iter(head(file).splitlines()), "")
    if {"start", "end", "label"} <= {word.strip(' "').lower() for word in first.split(",")}:
        return True
    return file.stem in stems and file.suffix.lower() == ".txt" and _is_audacity(first)


def _is_audacity(line: str) -> bool:
    """Whether a line is two times and a label, with tabs between them."""
    parts = line.split("\t")
    return len(parts) == 3 and all(part.replace(".", "", 1).isdigit() for part in parts[:2])
