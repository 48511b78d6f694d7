"""Checkpoints of more than 10 MB on what they were made for; nothing is fetched: what the cache lacks is not tested."""

import re
from pathlib import Path

import PIL.Image
import pytest
import soundfile
import soxr
import torch
import transformers
from _families import LIMIT, largest_difference

from hftransfer.core import plugins
from hftransfer.core.errors import SampleError
from hftransfer.samples._wheels import Wheel

PHOTOS = Wheel(
    "scikit-image",
    "0.25.2",
    size=14_785_376,
    files={
        "skimage/data/chelsea.png": "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb",
        "skimage/data/coffee.png": "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
        "skimage/data/camera.png": "b0793d2adda0fa6ae899c03989482bff9a42d3d5690fc7e3648f2795d730c23a",
    },
)
TOPS = {"chelsea": "cat", "coffee": "espresso", "camera": "tripod"}
PROMPTS = ("conf-onlyperson", "confbridge-pin", "vm-newpassword")
# Class, input, and the sizes of a row of it that the model takes.
GRAPHS = {
    "mobilenet_v2": ("MobileNetV2ForImageClassification", "pixel_values", (3, 128, 128), (3, 96, 160)),
    "efficientnet_lite0": ("EfficientNetForImageClassification", "pixel_values", (3, 128, 128), (3, 96, 160)),
    "whisper_tiny_en": ("WhisperForAudioClassification", "input_features", (80, 3000)),
}


@pytest.fixture
def cached(monkeypatch):
    """Calls a function with the Hub's offline mode on, in which samples take what is in the cache."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    def call(function, *arguments):
        try:
            return function(*arguments)
        except SampleError as error:
            pytest.skip(str(error))

    return call


def _checkpoint(cached, name):
    return cached(plugins.load("samples", name)().checkpoint)


@pytest.mark.parametrize("photo", TOPS)
def test_efficientnet_lite0_names_what_photographs_show(photo, cached):
    place = _checkpoint(cached, "efficientnet_lite0")
    model = transformers.AutoModelForImageClassification.from_pretrained(place).eval()
    image = PIL.Image.open(cached(PHOTOS.folder, "efficientnet_lite0") / f"skimage/data/{photo}.png").convert("RGB")
    with torch.no_grad():
        logits = model(**transformers.AutoImageProcessor.from_pretrained(place)(image, return_tensors="pt")).logits
    assert TOPS[photo] in model.config.id2label[int(logits.argmax())]


def test_whisper_writes_recorded_prompts_word_for_word(cached):
    place = _checkpoint(cached, "whisper_tiny_en")
    rows = cached(plugins.load("samples", "asterisk_prompts")().rows)["train"]
    model = transformers.WhisperForConditionalGeneration.from_pretrained(place).eval()
    processor = transformers.WhisperProcessor.from_pretrained(place)
    spoken = {Path(row["audio"]["path"]).stem: row for row in rows}
    for name in PROMPTS:
        wave, rate = soundfile.read(spoken[name]["audio"]["path"], dtype="float32")
        sound = soxr.resample(wave, rate, 16_000)
        features = processor(sound, sampling_rate=16_000, return_tensors="pt").input_features
        written = processor.batch_decode(model.generate(features), skip_special_tokens=True)[0]
        assert _words(written) == _words(spoken[name]["transcript"])


def _words(text):
    return re.findall(r"[a-z0-9']+", text.lower())


@pytest.mark.parametrize("name", GRAPHS)
def test_onnx_computes_what_a_real_checkpoint_does(name, cached, tmp_path):
    model_class, column, *sizes = GRAPHS[name]
    model = getattr(transformers, model_class).from_pretrained(_checkpoint(cached, name)).eval()

    def inputs(count, other):
        generator = torch.Generator().manual_seed(count)
        return {column: torch.randn(count, *sizes[-1 if other else 0], generator=generator)}

    assert largest_difference(plugins.load("exporters", "onnx")(), model, inputs, tmp_path) <= LIMIT
