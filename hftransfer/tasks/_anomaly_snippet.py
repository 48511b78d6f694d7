"""The Python of a card: anomaly detection with Transformers alone, since its model is no class of it."""

from __future__ import annotations

from typing import Any

from hftransfer.tasks._anomaly_inputs import PROCESSORS
from hftransfer.tasks._anomaly_scores import Method, description
from hftransfer.tasks._images import rgb_lines

_POOLED = """    hidden = encoder(**inputs)[0]
    if hidden.ndim == 4:
        features = hidden.mean(dim=(2, 3))
    elif "attention_mask" in inputs and inputs["attention_mask"].shape == hidden.shape[:2]:
        weights = inputs["attention_mask"][..., None].float()
        features = (hidden * weights).sum(dim=1) / weights.sum(dim=1)
    else:
        features = hidden.mean(dim=1)
"""
_DISTANCES = """    nearest = torch.cdist(features, detector["bank"]).topk({neighbours}, largest=False).values.mean(-1)
"""
_PATCHES = """    seen = {{}}
    hooks = [encoder.get_submodule(name).register_forward_hook(lambda m, a, out, name=name: seen.update({{name: out}}))
             for name in {layers}]
    encoder(**inputs)
    maps = []
    for name in {layers}:
        out = seen[name] if torch.is_tensor(seen[name]) else seen[name][0]
        if out.ndim == 3:
            side = int(out.shape[1] ** 0.5)
            out = out[:, -side * side:].transpose(1, 2).unflatten(2, (side, side))
        maps.append(torch.nn.functional.interpolate(out, maps[0].shape[-2:], mode="bilinear") if maps else out)
    for hook in hooks:
        hook.remove()
    features = torch.cat(maps, dim=1)[0].permute(1, 2, 0)
"""
_HEAT = """    heat = torch.nn.functional.avg_pool2d(nearest[None], {smooth}, 1, {half}, count_include_pad=False)
    return {{"score": heat.flatten().topk({top}).values.mean()[None]}}
"""


def usage(task: Any) -> tuple[str, str, str]:
    """How the card imports, opens and asks the model `repo`."""
    modality = task.modality or "image"
    method: Method = task
    imports = {
        "text": "",
        "image": "import numpy as np\nfrom PIL import Image, ImageOps\n",
        "audio": "import soundfile\nimport soxr\n",
    }[modality]
    processor = PROCESSORS[modality]
    load = (
        f"processor = {processor}.from_pretrained(repo)\n"
        "encoder = AutoModel.from_pretrained(repo).eval()\n"
        f"{_ENCODER}"
        'weights = load_file(cached_file(repo, "model.safetensors"))\n'
        'detector = {name: weights["detector." + name] for name in ("mean", "whitening", "bank")}\n\n\n'
        f"@torch.no_grad()\ndef model(**inputs):\n{_function(description(method))}\n"
    )
    return (
        f"import json\n\nimport torch\n{imports}from safetensors.torch import load_file\n"
        f"from transformers import AutoModel, {processor}\nfrom transformers.utils import cached_file",
        load,
        _call(task, modality),
    )


_ENCODER = "if encoder.config.is_encoder_decoder:\n    encoder = encoder.get_encoder()\n"


def _function(how: dict[str, Any]) -> str:
    """The lines of a function of one row."""
    scaled = {
        "length": "    features = torch.nn.functional.normalize(features, dim=-1)\n",
        "deviation": '    features = (features - detector["mean"]) * detector["whitening"]\n',
        "whiten": '    features = (features - detector["mean"]) @ detector["whitening"]\n',
    }[how["scale"]]
    if not how["patches"]:
        return _POOLED + scaled + _DISTANCES.format(**how) + '    return {"score": nearest}\n'
    half = how["smooth"] // 2
    return _PATCHES.format(**how) + scaled + _DISTANCES.format(**how) + _HEAT.format(half=half, **how)


def _call(task: Any, modality: str) -> str:
    """The lines that make `answer` of one input."""
    inputs = {
        "text": f'inputs = processor("A text.", truncation=True, max_length={task.max_length}, return_tensors="pt")\n',
        "image": f"{rgb_lines(task.pixel_range, task.background)}"
        'inputs = {"pixel_values": processor(images=image, return_tensors="pt")["pixel_values"]}\n',
        "audio": 'samples, rate = soundfile.read("speech.wav", dtype="float32", always_2d=True)\n'
        "samples = soxr.resample(samples.mean(axis=1), rate, processor.sampling_rate)\n"
        "inputs = processor(samples, sampling_rate=processor.sampling_rate)\n"
        "inputs = {processor.model_input_names[0]: torch.tensor(inputs[processor.model_input_names[0]][0])[None]}\n",
    }[modality]
    return (
        f'{inputs}score = float(model(**inputs)["score"][0])\n'
        'threshold = json.load(open(cached_file(repo, "task.json")))["threshold"]\n'
        'answer = {"label": "anomaly" if score > threshold else "normal", "score": score, "threshold": threshold}'
    )
