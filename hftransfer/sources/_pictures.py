"""The size in which a picture is seen, off its head alone."""

from pathlib import Path

# The orientations of EXIF that turn a picture by a quarter.
_ON_THEIR_SIDE = (5, 6, 7, 8)


def seen_size(picture: Path) -> tuple[int, int, bool] | None:
    """Width and height in pixels as the EXIF orientation turns the picture, and whether it does; None if unreadable."""
    from PIL import ExifTags, Image, UnidentifiedImageError

    try:
        with Image.open(picture) as opened:
            # Where the head tells of none, a PNG would be read to its end to find one.
            turned = "exif" in opened.info and opened.getexif().get(ExifTags.Base.Orientation) in _ON_THEIR_SIDE
            width, height = opened.size[::-1] if turned else opened.size
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError):
        return None
    return width, height, turned
