"""Speech by espeak-ng (GPL, in the package espeakng-loader), made once and kept in the cache of `datasets`."""

import ctypes
import io
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hftransfer.core.features import resample

# Voices of espeak-ng that sound like people, told apart by formants; men, women, children, two of each accent.
ACCENTS = ("en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp")
VOICES = ("m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "f1", "f2", "f3", "f4", "f5", "klatt", "klatt4", "Andrea")

_RATE, _PITCH, _UTF8, _SYNCHRONOUS, _CHARACTERS = 1, 3, 1, 2, 1


@dataclass(frozen=True)
class Line:
    """What to say and how."""

    text: str
    voice: str
    """A language and a variant, such as en-us+f2."""
    speed: int
    """Words a minute."""
    pitch: int
    """0 to 99; 50 is the voice's own."""
    gain: float
    """Of the amplitude."""
    lead: float
    """Seconds of silence before the first sound, and a third as many behind the last."""


def drawn(text: str, voice: str, draw: np.random.Generator) -> Line:
    """As people speak on the telephone: slower and faster, higher and lower, near and far, soon and late."""
    speed, pitch = int(draw.integers(80, 170)), int(draw.integers(25, 75))
    return Line(text, voice, speed, pitch, float(draw.uniform(0.2, 1)), float(draw.uniform(0, 0.25)))


def kept(name: str, version: int, make: Any) -> Any:
    """A data set that is made once in the life of the cache; `version` counts the changes of how it is made."""
    from datasets import Audio, Dataset, config

    folder = Path(config.HF_DATASETS_CACHE) / "hftransfer" / f"{name}-{version}"
    if not folder.is_dir():
        partial = folder.with_name(f"{folder.name}.partial-{os.getpid()}")
        # Stored as plain bytes, since to write a column of recordings asks for torchcodec.
        Dataset.from_list(list(make())).save_to_disk(partial)
        try:
            partial.rename(folder)
        except OSError:
            # Another process has made it meanwhile.
            if not folder.is_dir():
                raise
    return Dataset.load_from_disk(folder).cast_column("audio", Audio(decode=False))


def by_voice(rows: Any) -> dict[str, Any]:
    """Split -> its rows, by the column `split`."""
    splits = np.array(rows["split"])
    return {
        split: rows.select(np.flatnonzero(splits == split)).remove_columns("split")
        for split in ("train", "validation", "test")
    }


def speak(lines: Iterable[Line], target: int) -> Iterator[dict[str, Any]]:
    """A cell of audio (WAV, 16 bits, mono, `target` Hz) for each line."""
    import espeakng_loader
    import soundfile

    library = ctypes.CDLL(espeakng_loader.get_library_path())
    heard = bytearray()

    def take(samples: Any, count: int, _events: Any) -> int:
        if samples and count > 0:
            heard.extend(ctypes.string_at(samples, 2 * count))
        return 0

    listener = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)(take)
    rate = library.espeak_Initialize(_SYNCHRONOUS, 0, str(espeakng_loader.get_data_path()).encode(), 0)
    if rate <= 0:
        raise OSError("espeak-ng cannot read its own data")
    library.espeak_SetSynthCallback(listener)
    for line in lines:
        heard.clear()
        library.espeak_SetVoiceByName(line.voice.encode())
        library.espeak_SetParameter(_RATE, line.speed, 0)
        library.espeak_SetParameter(_PITCH, line.pitch, 0)
        said = line.text.encode()
        library.espeak_Synth(said, ctypes.c_size_t(len(said) + 1), 0, _CHARACTERS, 0, _UTF8, None, None)
        samples = np.frombuffer(bytes(heard), dtype="<i2").astype(np.float32) / 32768
        silence = round(line.lead * target)
        samples = np.pad(line.gain * resample(samples, rate, target), (silence, silence // 3))
        buffer = io.BytesIO()
        soundfile.write(buffer, samples, target, format="WAV", subtype="PCM_16")
        yield {"bytes": buffer.getvalue(), "path": None}
    library.espeak_Terminate()
