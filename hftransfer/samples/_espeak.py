"""Speech by espeak-ng (GPL, in the package espeakng-loader), synthesized once and stored in the cache of `datasets`.

https://github.com/espeak-ng/espeak-ng/blob/master/src/include/espeak-ng/speak_lib.h
"""

from __future__ import annotations

import ctypes
import io
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hftransfer.core.media import resample
from hftransfer.samples import StoredFile

if TYPE_CHECKING:
    from datasets import Dataset

# Voices of espeak-ng that sound like people and differ in their formants: men, women, children; each in four accents.
ACCENTS = ("en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp")
VOICES = ("m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "f1", "f2", "f3", "f4", "f5", "klatt", "klatt4", "Andrea")

_RATE, _PITCH, _UTF8, _SYNCHRONOUS, _CHARACTERS = 1, 3, 1, 2, 1


@dataclass(frozen=True)
class Line:
    """A text and how it is spoken."""

    text: str
    voice: str
    """A language and a variant, such as en-us+f2."""
    speed: int
    """Words a minute."""
    pitch: int
    """0 to 99; 50 is the voice's default."""
    gain: float
    """Factor of the amplitude."""
    lead: float
    """Seconds of silence before the first sound; a third of it follows the last."""


def sampled_line(text: str, voice: str, rng: np.random.Generator) -> Line:
    """A line as spoken on the telephone: of random speed, pitch, loudness and silence."""
    speed, pitch = int(rng.integers(80, 170)), int(rng.integers(25, 75))
    return Line(text, voice, speed, pitch, float(rng.uniform(0.2, 1)), float(rng.uniform(0, 0.25)))


def cached(name: str, version: int, generate: Callable[[], Iterable[dict[str, Any]]]) -> Dataset:
    """Generated rows with a column `audio`, from the cache of `datasets` where they are there already.

    `version` is increased when `generate` changes.
    """
    from datasets import Audio, Dataset, config

    folder = Path(config.HF_DATASETS_CACHE) / "hftransfer" / f"{name}-{version}"
    if not folder.is_dir():
        partial = folder.with_name(f"{folder.name}.partial-{os.getpid()}")
        # Stored as bytes, since writing a column of type Audio needs torchcodec.
        Dataset.from_list(list(generate())).save_to_disk(partial)
        try:
            partial.rename(folder)
        except OSError:
            # Another process may have been faster.
            if not folder.is_dir():
                raise
    return Dataset.load_from_disk(folder).cast_column("audio", Audio(decode=False))


def by_split(rows: Dataset) -> dict[str, Dataset]:
    """Split -> its rows, by the column `split`."""
    splits = np.array(rows["split"])
    return {
        split: rows.select(np.flatnonzero(splits == split)).remove_columns("split")
        for split in ("train", "validation", "test")
    }


def voice_splits(rng: np.random.Generator) -> list[tuple[str, str]]:
    """All voices in random order, each with its split: 40 train, 12 validation, 12 test."""
    voices = [f"{accent}+{voice}" for accent in ACCENTS for voice in VOICES]
    splits = ["train"] * 40 + ["validation"] * 12 + ["test"] * 12
    return [(voices[number], split) for number, split in zip(rng.permutation(len(voices)), splits, strict=True)]


def speak(lines: Iterable[Line], target: int) -> Iterator[StoredFile]:
    """A cell of an audio column (WAV, 16 bits, mono, `target` Hz) for each line."""
    import espeakng_loader
    import soundfile

    library = ctypes.CDLL(espeakng_loader.get_library_path())
    spoken = bytearray()

    def collect(samples: int | None, count: int, _events: int | None) -> int:
        if samples and count > 0:
            spoken.extend(ctypes.string_at(samples, 2 * count))
        return 0

    callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)(collect)
    rate = library.espeak_Initialize(_SYNCHRONOUS, 0, str(espeakng_loader.get_data_path()).encode(), 0)
    if rate <= 0:
        raise OSError("espeak-ng cannot read its own data")
    # Breathy voices contain noise.
    library.espeak_ng_SetRandSeed(ctypes.c_long(0))
    library.espeak_SetSynthCallback(callback)
    for line in lines:
        spoken.clear()
        library.espeak_SetVoiceByName(line.voice.encode())
        library.espeak_SetParameter(_RATE, line.speed, 0)
        library.espeak_SetParameter(_PITCH, line.pitch, 0)
        text = line.text.encode()
        library.espeak_Synth(text, ctypes.c_size_t(len(text) + 1), 0, _CHARACTERS, 0, _UTF8, None, None)
        samples = np.frombuffer(bytes(spoken), dtype="<i2").astype(np.float32) / 32768
        silence = round(line.lead * target)
        samples = np.pad(line.gain * resample(samples, rate, target), (silence, silence // 3))
        buffer = io.BytesIO()
        soundfile.write(buffer, samples, target, format="WAV", subtype="PCM_16")
        yield {"bytes": buffer.getvalue(), "path": None}
    library.espeak_Terminate()
