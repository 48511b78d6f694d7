"""Images and their masks in two folders: `FOLDER/SPLIT/images/*.jpg` with `FOLDER/SPLIT/masks/*.png`, by equal names.

`FOLDER/images/SPLIT/` with `FOLDER/masks/SPLIT/` is read too, and one split, `train`, without such folders.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hftransfer.core.errors import DataError
from hftransfer.core.plugins import nearest
from hftransfer.sources import SPLITS, Folder

if TYPE_CHECKING:
    from datasets import Dataset

_IMAGES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}


class Maskfolder(Folder):
    """Columns: `image`, `mask`."""

    images: str = "images"
    """The name of the folders of images."""
    masks: str = "masks"
    """The name of the folders of masks (annotations, labels): pictures of class numbers, or with a palette."""

    def load(self) -> dict[str, Dataset]:
        from datasets import Dataset, Features, Image

        features = Features({"image": Image(), "mask": Image()})
        return {
            split: Dataset.from_dict(self._pairs(images, masks), features=features)
            for split, (images, masks) in self._folders().items()
        }

    def _folders(self) -> dict[str, tuple[Path, Path]]:
        """Split -> its folder of images, and of masks.

        Raises:
            DataError: there is none.
        """
        root = self.root()
        below = [path for path in sorted((root / self.images).glob("*")) if path.name.lower() in SPLITS]
        if below:
            return {SPLITS[path.name.lower()]: (path, root / self.masks / path.name) for path in below}
        folders = {split: (path / self.images, path / self.masks) for split, path in self.split_folders().items()}
        for images, masks in folders.values():
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
    """Name without its ending, from the folder on -> the picture; hidden files are passed over."""
    files = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in _IMAGES and path.name[0] != "."]
    named: dict[str, Path] = {}
    for path in files:
        name = str(path.relative_to(folder).with_suffix(""))
        if name in named:
            raise DataError(f"data.source: '{path}' and '{named[name]}' have one name")
        named[name] = path
    if not named:
        raise DataError(f"data.source: there are no pictures in '{folder}'")
    return named
