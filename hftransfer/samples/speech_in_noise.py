"""Telephone prompts with pauses, in noise: where does somebody speak? Made by a seed; 12, 2 and 5 minutes.

Columns: `audio` (WAV, 16,000 Hz, 8 s), `frames` (400 numbers, one for each 20 ms: 1 where somebody speaks), `segments`
(`start`, `end` in seconds, of the same), `noise` (white, brown or pulsing), `snr` (decibels, -5 to 10).

Of the sample `asterisk_prompts`, so that speakers and languages of the splits differ: `train` three women (en, fr, ru),
`validation` the first of them in Spanish, `test` a man (it). Labels come from the energy of the clean recording.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar, TypedDict

import numpy as np
from pydantic import Field

from hftransfer.core import plugins
from hftransfer.core.media import open_audio, resample
from hftransfer.samples import Sample

if TYPE_CHECKING:
    from datasets import Dataset

_RATE, _SECONDS, _FRAME = 16_000, 8, 320
_LENGTH = _RATE * _SECONDS
# Split -> languages, clips for each one of training.
_SPLITS = {"train": (("en", "fr", "ru"), 1.0), "validation": (("es",), 1 / 6), "test": (("it",), 4 / 9)}
_NOISES = ("white", "brown", "pulsing")
# Of the loud frames' energy; what is below is a pause.
_QUIET = 0.03
_LONGEST = 5.0


class Segments(TypedDict):
    """Where somebody speaks, in seconds."""

    start: list[float]
    end: list[float]


class SpeechInNoise(Sample):
    """Voice activity, frame by frame."""

    license: ClassVar[str] = "cc-by-sa-3.0"
    provenance: ClassVar[str] = "made of the sample asterisk_prompts: Debian packages asterisk-core-sounds-LANGUAGE"
    download_bytes: ClassVar[int] = 97_608_504
    flaws: ClassVar[tuple[str, ...]] = (
        "The noise is synthetic.",
        "Labels follow the energy of the clean recording, so that quiet ends of words count as pauses.",
    )
    requires: ClassVar[dict[str, str]] = {"soundfile": "speech", "soxr": "speech"}

    seed: int = Field(default=0, ge=0)
    """Of the prompts, pauses and noises that are sampled."""
    clips: int = Field(default=90, ge=6, le=10_000)
    """Training rows; validation has a sixth as many, test four ninths."""

    def rows(self) -> dict[str, Dataset]:
        """`train`, `validation` and `test`."""
        from datasets import Audio, Dataset

        return {
            split: Dataset.from_list(list(self._rows(number, languages, round(share * self.clips)))).cast_column(
                "audio", Audio(decode=False)
            )
            for number, (split, (languages, share)) in enumerate(_SPLITS.items())
        }

    def _rows(self, number: int, languages: tuple[str, ...], count: int) -> Iterator[dict[str, Any]]:
        prompts = plugins.load("samples", "asterisk_prompts")
        recordings = [
            recording
            for language in languages
            for recording in prompts(language=language, max_seconds=_LONGEST).rows()["train"]["audio"][:]
        ]
        rng = np.random.default_rng([self.seed, number])
        for _ in range(count):
            clean, frames = _speech(recordings, rng)
            kind, ratio = _NOISES[int(rng.integers(len(_NOISES)))], float(rng.uniform(-5, 10))
            yield {
                "audio": {"bytes": _wav(_with_noise(clean, frames, kind, ratio, rng)), "path": None},
                "frames": frames.tolist(),
                "segments": _segments(frames),
                "noise": kind,
                "snr": ratio,
            }


def _speech(recordings: list[Any], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A clip of prompts with pauses between them, and whether somebody speaks in each frame."""
    samples, frames = np.zeros(_LENGTH, np.float32), np.zeros(_LENGTH // _FRAME, np.int8)
    place = int(rng.integers(0, _RATE)) // _FRAME * _FRAME
    while place < _LENGTH - _RATE:
        prompt = resample(*open_audio(recordings[int(rng.integers(len(recordings)))]["path"]), _RATE)[: _LENGTH - place]
        energy = np.sqrt((prompt[: len(prompt) // _FRAME * _FRAME].reshape(-1, _FRAME) ** 2).mean(axis=1))
        samples[place : place + len(prompt)] = prompt
        frames[place // _FRAME :][: len(energy)] = energy > _QUIET * np.percentile(energy, 95)
        place += (len(prompt) + int(rng.integers(_RATE // 2, 2 * _RATE))) // _FRAME * _FRAME
    return samples, frames


def _with_noise(clean: np.ndarray, frames: np.ndarray, kind: str, ratio: float, rng: np.random.Generator) -> np.ndarray:
    """The clip, `ratio` decibels above its noise where somebody speaks, its loudest sample at a half."""
    from scipy.ndimage import uniform_filter1d

    noise = rng.normal(size=_LENGTH)
    if kind == "brown":
        noise = np.cumsum(noise)
    elif kind == "pulsing":
        noise *= 1 + np.sin(np.arange(_LENGTH) / rng.integers(400, 4000))
    # Below 40 Hz there is nothing to hear.
    noise -= uniform_filter1d(noise, 400)
    loudness = clean[np.repeat(frames, _FRAME) == 1].std()
    mixed = clean + noise / noise.std() * loudness * 10 ** (-ratio / 20)
    return np.asarray(mixed / np.abs(mixed).max() / 2, dtype=np.float32)


def _segments(frames: np.ndarray) -> Segments:
    edges = np.flatnonzero(np.diff(frames, prepend=0, append=0)) * _FRAME / _RATE
    return {"start": edges[::2].tolist(), "end": edges[1::2].tolist()}


def _wav(samples: np.ndarray) -> bytes:
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, samples, _RATE, format="WAV", subtype="PCM_16")
    return buffer.getvalue()
