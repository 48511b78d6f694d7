"""Round-trip word error rate, 0 or more: the texts against what a recognizer understands of the synthesized speech.

`round_trip_wer.recorded` is that of the recordings themselves, which the recognizer does not understand without errors
either: only what lies between the two is the synthesis. It tells whether speech is intelligible to this recognizer, and
nothing of how it sounds (Taylor and Richmond, "Confidence Intervals for ASR-Based TTS Evaluation", Interspeech 2021).
Where nothing is said Whisper repeats words without end: a value far above 1 says no more than 1 does. Texts are
compared in lower case and without punctuation, as Whisper's normalization does (https://arxiv.org/abs/2212.04356,
appendix C).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np

from hftransfer.core.media import resample
from hftransfer.core.named_checkpoints import locate
from hftransfer.core.progress import Progress
from hftransfer.metrics._additive import Additive, ratio
from hftransfer.metrics._speech import Speech, tiny_speech

# What a recognizer hears of a recording: Whisper reads 30 seconds, and nothing is said in a hundredth of one.
_LONGEST, _SHORTEST = 30, 0.01


class RoundTripWer(Additive):
    """Edits of words over the words of the texts."""

    lower_is_better: ClassVar[bool] = True
    details: ClassVar[tuple[str, ...]] = ("recorded",)
    requires: ClassVar[dict[str, str]] = {"jiwer": "speech", "soxr": "speech"}

    recognizer: str | None = None
    """The checkpoint that listens: an id of the Hub (OWNER/NAME@REVISION), a folder or `sample:NAME`."""

    def statistics(self, predictions: np.ndarray, references: np.ndarray) -> dict[str, np.ndarray]:
        """Edits and words of each row, of the synthesized and of the recorded speech.

        Raises:
            ValueError: nobody has listened, and no recognizer is named.
        """
        # `check` asks whether the metric fits the rows: nobody has to listen for that.
        if predictions is not references:
            self._listen([*predictions, *references])
        elif self.recognizer is None and any(it.transcript is None for it in references):
            raise ValueError("task.recognizer names the checkpoint that listens, such as sample:whisper_tiny_en")
        parts = {self.name: predictions, f"{self.name}.recorded": references}
        return {name: np.array([_edits(it) for it in rows]).reshape(-1, 2) for name, rows in parts.items()}

    def _listen(self, speeches: Sequence[Speech]) -> None:
        unheard = [it for it in speeches if it.transcript is None]
        if unheard and self.recognizer is None:
            raise ValueError("task.recognizer names the checkpoint that listens, such as sample:whisper_tiny_en")
        for speech in Progress(unheard, desc="listening", unit="row") if unheard else ():
            speech.transcript = _transcript(str(self.recognizer), *speech.sound())

    def value(self, sums: np.ndarray) -> np.ndarray:
        """Edits over words."""
        return ratio(sums)

    @classmethod
    def tiny(cls) -> tuple[list[object], list[object]]:
        """Two recordings that are understood, and two syntheses that are not."""
        return [tiny_speech([0.0]), tiny_speech([0.5])], [tiny_speech([0.0], "a bird"), tiny_speech([0.0], "")]


def _edits(speech: Speech) -> tuple[int, int]:
    """Edits and words of a text and its transcript; a text that nobody has listened to counts as understood."""
    import jiwer
    from transformers.models.whisper.english_normalizer import BasicTextNormalizer

    normalize = BasicTextNormalizer()
    given = speech.text if speech.transcript is None else speech.transcript
    text, heard = (" ".join(normalize(it).split()) for it in (speech.text, given))
    if not text:
        return len(heard.split()), 0
    pair = jiwer.process_words(text, heard)
    return pair.insertions + pair.deletions + pair.substitutions, len(text.split())


def _transcript(recognizer: str, samples: np.ndarray, rate: int) -> str:
    """What a recognizer understands of a recording, of the first 30 seconds at most."""
    if len(samples) < _SHORTEST * rate:
        return ""
    pipe = _pipeline(recognizer)
    target = pipe.feature_extractor.sampling_rate
    heard = resample(samples[: _LONGEST * rate], rate, target)
    return str(pipe({"raw": heard, "sampling_rate": target})["text"])


@lru_cache(maxsize=1)
def _pipeline(recognizer: str) -> Any:
    """The pipeline of a recognizer."""
    from transformers import pipeline

    place, revision = locate("task.recognizer", recognizer)
    return pipeline("automatic-speech-recognition", model=place, revision=revision)
