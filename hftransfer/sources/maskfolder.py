"""Images and their masks in two folders: `FOLDER/SPLIT/images/*.jpg` with `FOLDER/SPLIT/masks/*.png`, by equal names.

`FOLDER/images/SPLIT/` with `FOLDER/masks/SPLIT/` is read too, and one split, `train`, without such folders.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from hftransfer.core.errors import DataError
from hftransfer.core.plugins import nearest
from hftransfer.data.normal_form import nfc
from hftransfer.sources import Folder, unwrapped
from hftransfer.sources._listing import IMAGES, Media, visible
from hftransfer.sources._split_names import split_of

if TYPE_CHECKING:
    from datasets import Dataset


class Maskfolder(Folder):
    """Columns: `image`, `mask`."""

    media: ClassVar[Media] = IMAGES

    images: str = "images"
    """The name of the folders of images."""
    masks: str = "masks"
    """The name of the folders of masks (annotations, labels): pictures of class numbers, or with a palette."""

    def read_folder(self) -> dict[str, Dataset]:
        from datasets import Dataset, Features, Image, concatenate_datasets

        features = Features({"image": Image(), "mask": Image()})
        splits: dict[str, list[Dataset]] = {}
        for split, images, masks in self._folders():
            pairs = Dataset.from_dict(self._pairs(images, masks), features=features)
            splits.setdefault(split, []).append(pairs)
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

    def _pairs(self, images: Path, masks: Path) -> dict[str, list[str]]:
        """The paths of images, and of the masks with the same names.

        Raises:
            DataError: an image has no mask, a mask no image, or two files have one name.
        """
        named, masked = _by_name(images), _by_name(masks)
        if lacking := sorted(named.keys() - masked.keys()):
            raise DataError(
                f"data.source: {len(lacking)} of {len(named)} images have no mask in '{masks}': {lacking[0]}"
            )
        if unused := sorted(masked.keys() - named.keys()):
            raise DataError(
                f"data.source: {len(unused)} of {len(masked)} masks have no image in '{images}': {unused[0]}"
            )
        order = sorted(named)
        return {"image": [str(named[name]) for name in order], "mask": [str(masked[name]) for name in order]}


def _by_name(folder: Path) -> dict[str, Path]:
    """Name without its ending, from the folder on -> the picture."""
    named: dict[str, Path] = {}
    for path in IMAGES.below(folder):
        name = nfc(str(path.relative_to(folder).with_suffix("")))
        if name in named:
            raise DataError(f"data.source: '{path}' and '{named[name]}' have one name")
        named[name] = path
    if not named:
        raise DataError(f"data.source: there are no pictures in '{folder}'")
    return named
