"""Images as people have them: transparent, of 16 bits, of decimals, huge, thin, and models of one channel."""

import struct
import zlib

import numpy as np
import pytest
from datasets import Dataset
from datasets import Image as ImageColumn
from PIL import Image
from transformers import AutoConfig

from hftransfer.core.errors import DataError, ModelError
from hftransfer.core.features import Image as ImageFeature
from hftransfer.core.media import loses_bits, open_image, opened, read_image, rgb
from hftransfer.data.corruptions import corrupted
from hftransfer.tasks._images import new_processor
from hftransfer.tasks._pixels import encode_pixels
from hftransfer.tasks.image_classification import ImageClassification

ALPHA = np.array([[255, 0], [0, 128]], np.uint8)


def _transparent(kind):
    """Black, transparent, transparent, half transparent; in palettes and colours of their own only the first three."""
    rgba = Image.fromarray(np.dstack([np.zeros((2, 2, 3), np.uint8), ALPHA]))
    if kind in ("RGBA", "LA", "PA"):
        return rgba.convert(kind)
    grey = Image.fromarray(np.array([[0, 9], [9, 0]], np.uint8))
    if kind == "P":
        grey = grey.convert("P")
    picture = {"RGB": grey.convert("RGB"), "I;16": Image.fromarray(np.asarray(grey, np.uint16))}.get(kind, grey)
    picture.info["transparency"] = (9, 9, 9) if kind == "RGB" else 9
    return picture


@pytest.mark.parametrize(
    ("kind", "ending"),
    [("RGBA", "png"), ("RGBA", "webp"), ("RGBA", "tif"), ("LA", "png"), ("PA", None), ("L", "png"), ("RGB", "png"),
     ("P", "png"), ("P", "gif"), ("I;16", "png")],
)  # fmt: skip
def test_what_is_transparent_lies_on_the_background(kind, ending, tmp_path):
    picture = _transparent(kind)
    if ending:
        options = {"lossless": True, "exact": True} if ending == "webp" else {}
        picture.save(tmp_path / f"a.{ending}", **options | picture.info)
        picture = open_image(str(tmp_path / f"a.{ending}"))
    for background, level in (("white", 255), ("black", 0)):
        pixels = np.asarray(rgb(picture, None, background))
        assert pixels.shape == (2, 2, 3) and pixels[0, 0].tolist() == [0, 0, 0]
        assert pixels[0, 1].tolist() == pixels[1, 0].tolist() == [level] * 3
        assert kind not in ("RGBA", "LA") or abs(int(pixels[1, 1, 0]) - level // 2) <= 1


def _rows(pictures):
    return Dataset.from_dict({"image": pictures, "label": ["a"] * len(pictures)}).cast_column("image", ImageColumn())


def test_drawings_that_the_background_hides_are_told():
    white = Image.fromarray(np.dstack([np.full((2, 2, 3), 255, np.uint8), ALPHA]))
    opaque = Image.new("RGBA", (2, 2))
    opaque.putalpha(255)
    config = AutoConfig.for_model("vit")
    fitted = ImageClassification(problem_type="single_label_classification").fit(_rows([white, white, opaque]))
    parts, blank = fitted.check({}, config)
    assert "3 of 3 training images have transparent parts" in parts and "2 of the first 3" in blank
    assert not fitted.fit(_rows([opaque])).check({}, config)
    assert len(fitted.model_copy(update={"background": "black"}).fit(_rows([white])).check({}, config)) == 1


@pytest.mark.parametrize("dtype", [np.uint16, np.int32])
def test_16_bits_have_one_scale_for_the_data_set(dtype):
    pictures = [Image.fromarray(np.array([[100, high]], dtype)) for high in (200, 500, 1100)]
    task = ImageClassification(problem_type="single_label_classification").fit(_rows(pictures))
    assert task.pixel_range == (100, 1100)
    grey = [np.asarray(task.rgb(picture))[0, :, 0].tolist() for picture in pictures]
    assert grey == [[0, 25], [0, 102], [0, 255]]
    # Another split, or what is given to predict.
    assert np.asarray(task.rgb(Image.fromarray(np.array([[0, 2000]], dtype))))[0, :, 0].tolist() == [0, 255]
    (warning,) = task.check({}, AutoConfig.for_model("vit"))
    assert "100 is black and 1,100 white" in warning
    changed = corrupted(task, _rows(pictures), ["contrast"], 0)["test-contrast"]
    assert np.asarray(changed[1]["image"]).max() == 61


def test_signed_values_keep_their_order_and_are_refused_without_a_scale(tmp_path):
    file = tmp_path / "a.tif"
    Image.fromarray(np.array([[-1000, 0, 3000]], np.int32)).save(file)
    signed = Image.open(file)
    task = ImageClassification(problem_type="single_label_classification").fit(_rows([signed]))
    assert np.asarray(task.rgb(signed))[0, :, 0].tolist() == [0, 63, 255]
    with pytest.raises(DataError, match="its pixels go from -1,000 to 3,000, .*task.pixel_range"):
        ImageClassification().rgb(signed)


def _png_of_16_bits(values):
    """A PNG file of colours of 16 bits, which Pillow does not write."""
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in values)
    head = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, 2, 0, 0, 0)
    parts = [(b"IHDR", head), (b"IDAT", zlib.compress(lines)), (b"IEND", b"")]
    chunks = [struct.pack(">I", len(it)) + kind + it + struct.pack(">I", zlib.crc32(kind + it)) for kind, it in parts]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def test_colours_of_16_bits_are_read_by_one_scale_and_told(tmp_path):
    values = np.full((8, 8, 3), 4095, np.uint16)
    (tmp_path / "deep.png").write_bytes(_png_of_16_bits(values))
    with opened(str(tmp_path / "deep.png")) as image:
        assert loses_bits(image) and rgb(image).getpixel((0, 0)) == (15, 15, 15)
    Image.new("RGB", (8, 8)).save(tmp_path / "other.png")
    files = [str(tmp_path / f"{name}.png") for name in ("deep", "other")]
    rows = Dataset.from_dict({"image": files, "label": ["a", "b"]}).cast_column("image", ImageColumn())
    task = ImageClassification(problem_type="single_label_classification").fit(rows)
    assert any("1 of 2 training images have colours of 16 bits" in warning for warning in task._image_warnings())


def test_a_few_bright_pixels_are_told():
    values = np.linspace(0, 200, 10_000, dtype=np.uint16)
    values[0] = 60_000
    task = ImageClassification(problem_type="single_label_classification").fit(
        _rows([Image.fromarray(values.reshape(100, 100))])
    )
    assert "task.pixel_range: [0, 199] would show more" in task.check({}, AutoConfig.for_model("vit"))[1]


def test_the_card_says_what_to_do_before_a_pipeline(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    task = ImageClassification(background="black", pixel_range=(100, 1100))
    sentence, code = task.pipeline_preparation
    assert "laid on black" in sentence and "scaled from 100 (black) to 1,100 (white)" in sentence
    for picture in (_transparent("RGBA"), Image.fromarray(np.array([[0, 500, 2000]], np.uint16))):
        picture.save("image.png")
        names = {"pipe": lambda image: image}
        exec(code, names)
        np.testing.assert_array_equal(np.asarray(names["answer"]), np.asarray(task.rgb(picture)))


def test_decimals_are_refused_with_the_reason(tmp_path):
    Image.fromarray(np.zeros((2, 2), np.float32)).save(tmp_path / "a.tif")
    for decode in (True, False):
        with pytest.raises(DataError, match=r"a\.tif: its pixels are decimals, .*save it with 8 or 16 bits"):
            read_image(str(tmp_path / "a.tif"), decode=decode)


def _chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


@pytest.mark.parametrize("side", [13_300, 20_000])
def test_images_of_too_many_pixels_are_refused_before_they_are_decoded(side):
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + _chunk(b"IDAT", b"")
    with pytest.raises(DataError, match="an image has more than the 100,000,000 pixels that are read"):
        ImageFeature(decode=False).read("image", {"bytes": png, "path": None})


@pytest.mark.parametrize("shape", [(1, 40), (3, 40), (40, 3), (1, 1)])
def test_thin_images_are_read_as_any(shape):
    processor = new_processor(AutoConfig.for_model("vit"), 8)
    thin = Image.fromarray(np.full((*shape, 3), [200, 100, 0], np.uint8))
    other = Image.new("RGB", (20, 20))
    pixels = encode_pixels(processor, [thin, other])
    assert pixels.shape == (2, 3, 8, 8)
    assert pixels[0].reshape(3, -1).T.tolist() == [[200, 100, 0]] * 64 and not pixels[1].any()


def test_a_model_of_one_channel_is_refused():
    with pytest.raises(ModelError, match=r"1 channel \(num_channels\), and images are read as RGB"):
        ImageClassification().check({}, AutoConfig.for_model("vit", num_channels=1))


def test_an_address_is_no_file():
    with pytest.raises(DataError, match=r"'https://a.org/1.jpg' is an address, and no files are downloaded: save"):
        open_image("https://a.org/1.jpg")
