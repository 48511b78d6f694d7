"""Images and their masks in two folders: `FOLDER/SPLIT/images/*.jpg` with `FOLDER/SPLIT/masks/*.png`, by equal names.

`FOLDER/images/SPLIT/` with `FOLDER/masks/SPLIT/` is read too, and one split, `train`, without such folders, which the
lists of ImageSets/Segmentation part as in Pascal VOC. Images without a mask are left out and counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from hftransfer.core.errors import DataError
from hftransfer.core.plugins import nearest
from hftransfer.data.normal_form import nfc
from hftransfer.sources import Folder, unwrapped
from hftransfer.sources._image_sets import listed
from hftransfer.sources._listing import IMAGES, Media, files_below, visible
from hftransfer.sources._split_names import SPLITS, split_in, split_of

if TYPE_CHECKING:
    from datasets import Dataset


class Maskfolder(Folder):
    """Columns: `image`, `mask`."""

    media: ClassVar[Media] = IMAGES

    images: str = "images"
    """The name of the folders of images. Where it is that of a split, as `train` beside the masks `train_masks`, the
    folders `val` and `val_masks` are the split `validation`."""
    masks: str = "masks"
    """The name of the folders of masks (annotations, labels): pictures of class numbers, or with a palette. A mask may
    have a longer name than its image, as `1_mask.png` of `1.jpg`, by the same words in all of them."""

    def read_folder(self) -> dict[str, Dataset]:
        from datasets import Dataset, Features, Image, concatenate_datasets

        features = Features({"image": Image(), "mask": Image()})
        splits: dict[str, list[Dataset]] = {}
        for split, images, masks in self._folders():
            for part, pairs in self._listed(split, self._pairs(images, masks)).items():
                columns = {"image": [str(it) for it, _ in pairs], "mask": [str(it) for _, it in pairs]}
                splits.setdefault(part, []).append(Dataset.from_dict(columns, features=features))
        return {split: concatenate_datasets(parts) for split, parts in splits.items()}

    def _folders(self) -> list[tuple[str, Path, Path]]:
        """Splits, each with a folder of images and one of masks.

        Raises:
            DataError: there is none.
        """
        root = unwrapped(self.root(), self.media)
        below = visible(root / self.images) if (root / self.images).is_dir() else []
        named = [(split, path) for path in below if path.is_dir() and (split := split_of(path.name))]
        if named:
            return [(split, path, root / self.masks / path.name) for split, path in named]
        if below and (root / self.masks).is_dir():
            return list(self._beside_each_other(root))
        folders = [
            (split, path / self.images, path / self.masks)
            for split, paths in self.split_folders().items()
            for path in paths
        ]
        for _, images, masks in folders:
            for folder, key in ((images, "images"), (masks, "masks")):
                if not folder.is_dir():
                    names = [path.name for path in folder.parent.iterdir() if path.is_dir()]
                    raise DataError(f"data.source.{key}: there is no folder '{folder}'; {nearest(folder.name, names)}")
        return folders

    def _beside_each_other(self, root: Path) -> Iterator[tuple[str, Path, Path]]:
        """The two folders of a root, and those that have the word of another split in both names."""
        yield split_in(self.images) or "train", root / self.images, root / self.masks
        for word in [word for word in SPLITS if word in self.images and word in self.masks][:1]:
            for other, split in SPLITS.items():
                images, masks = (root / name.replace(word, other) for name in (self.images, self.masks))
                if other != word and images.is_dir() and masks.is_dir():
                    yield split, images, masks

    def _pairs(self, images: Path, masks: Path) -> dict[str, tuple[Path, Path]]:
        """Name of an image -> it and its mask; what lacks the other one is reported.

        Raises:
            DataError: no mask has the name of an image, or two files have one name.
        """
        named, masked = _by_name(images), _by_name(masks)
        before, after = _affixes(named, masked)
        stems = {name: f"{_folder_of(name)}{before}{name.rpartition('/')[2]}{after}" for name in named}
        pairs = {name: (named[name], masked[stems[name]]) for name in sorted(named) if stems[name] in masked}
        if not pairs:
            raise DataError(
                f"data.source: no mask in '{masks}' has the name of an image in '{images}', with the same words before "
                f"or after it: the first are '{min(masked)}' and '{min(named)}'"
            )
        unused = sorted(masked.keys() - {stems[name] for name in pairs})
        for kind, lacking, total, folder in (
            ("images have no mask", sorted(named.keys() - pairs.keys()), len(named), masks),
            ("masks have no image", unused, len(masked), images),
        ):
            if lacking:
                self.warn(
                    f"data.source: {len(lacking):,} of {total:,} {kind} in '{folder}' and are left out, "
                    f"first '{lacking[0]}'"
                )
        return pairs

    def _listed(self, split: str, pairs: dict[str, tuple[Path, Path]]) -> dict[str, list[tuple[Path, Path]]]:
        """Split -> its images and masks: of one folder, by the lists of VOC's ImageSets/Segmentation."""
        lists = listed(files_below(self.root()), "Segmentation", list(pairs)) if split == "train" else {}
        return {part: [pairs[name] for name in names] for part, names in lists.items()} or {split: [*pairs.values()]}


def _folder_of(name: str) -> str:
    return name[: name.rfind("/") + 1]


def _affixes(images: Iterable[str], masks: Iterable[str]) -> tuple[str, str]:
    """What masks have before and after the names of their images; nothing where they have the same names."""
    names = {name.rpartition("/")[2] for name in images}
    first = min(masks, key=lambda name: (len(name), name)).rpartition("/")[2]
    spans = [(start, end) for start in range(len(first)) for end in range(start + 1, len(first) + 1)]
    # The longest part that is a name: `1_mask` is of `1`, and `11_mask` of `11`.
    found = max((span for span in spans if first[slice(*span)] in names), key=lambda it: it[1] - it[0], default=None)
    return (first[: found[0]], first[found[1] :]) if found else ("", "")


def _by_name(folder: Path) -> dict[str, Path]:
    """Name without its ending, from the folder on -> the picture."""
    named: dict[str, Path] = {}
    for path in IMAGES.below(folder):
        name = nfc(path.relative_to(folder).with_suffix("").as_posix())
        if name in named:
            raise DataError(f"data.source: '{path}' and '{named[name]}' have one name")
        named[name] = path
    if not named:
        raise DataError(f"data.source: there are no pictures in '{folder}'")
    return named
