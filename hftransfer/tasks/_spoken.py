"""What is said, as a person hears it: the sound of spectrograms in reports, by `predict` and in the card."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from hftransfer.core.errors import DataError
from hftransfer.core.features import Feature, Json, Text
from hftransfer.core.results import JsonObject
from hftransfer.metrics._speech import SILENCE, Speech, distortion
from hftransfer.tasks import Outputs, Side, Task, _audio, _vocoder
from hftransfer.tasks._answer_hooks import Choice

if TYPE_CHECKING:
    from hftransfer.tasks._types import Row

_SPEAKER = "speaker = torch.nn.functional.one_hot(torch.tensor([0]), model.config.speaker_embedding_dim).float()"
_VECTOR = "speaker = torch.ones(1, model.config.speaker_embedding_dim)  # an x-vector of the speaker belongs here"


class SpokenAnswers(Task):
    """Adds a vocoder and what follows from it. Predictions and references are `Speech`."""

    speakers: list[str] | None = None
    """The names in the column `speaker`; left out, those of the training rows, and none where it holds vectors."""
    vocoder: str = _vocoder.GRIFFIN_LIM
    """What makes sound of spectrograms: `griffin_lim`, or a HiFi-GAN, `OWNER/NAME@REVISION` of the Hub or a folder."""
    recognizer: str | None = None
    """The checkpoint that listens, for `round_trip_wer`: `OWNER/NAME@REVISION`, a folder or `sample:NAME`."""

    def spoken(self, spectrogram: np.ndarray, text: str) -> Speech:
        """A spectrogram of shape (frames, bins) as what it sounds like."""
        extractor = self.processor.feature_extractor
        sound = partial(_vocoder.synthesize, spectrogram, self.vocoder, extractor)
        return Speech(spectrogram, text, extractor.hop_length / 1000, sound)

    def default_metrics(self) -> list[str]:
        return [*self.metrics, *["round_trip_wer"] * (self.recognizer is not None)]

    def metric_options(self) -> JsonObject:
        return {"recognizer": self.recognizer}

    def wrong(self, reference: Speech, prediction: Speech) -> Speech:
        """Silence."""
        return self.spoken(np.full_like(reference.spectrogram, SILENCE), reference.text)

    def error(self, prediction: Speech, reference: Speech) -> float:
        """Mel cepstral distortion in dB."""
        return distortion(prediction.spectrogram, reference.spectrogram)

    def describe(self, value: Speech) -> str:
        return f"{len(value.spectrogram) * value.step:.1f} s of speech"

    def render(self, row: Row, prediction: Speech, reference: Speech) -> JsonObject:
        sounds = {"synthesized": prediction, "recorded": reference} if prediction is not reference else {}
        return {"text": row["text"][:400]} | {name: _audio.played(*it.sound()) for name, it in sounds.items()}

    @property
    def asked(self) -> dict[str, Feature]:
        """The speaker, where there are several, or the vector of one."""
        if self.speakers is None:
            return {"text": Text()}
        return {"text": Text(), "speaker": Choice(names=tuple(self.speakers)) if self.speakers else Json()}

    def parse(self, text: str) -> Row:
        """A text and, after a tab, the name of a speaker or the numbers of its vector as JSON.

        Raises:
            DataError: there is no vector of a speaker, or it is no JSON.
        """
        said, _, speaker = text.partition("\t")
        row = {"text": self.inputs["text"].parse(said)}
        if self.speakers == []:
            try:
                row["speaker"] = json.loads(speaker)
            except ValueError:
                raise DataError(f"'{said[:40]}': after a tab, write the vector of a speaker, [0.1, 0.2, ...]") from None
        elif self.speakers:
            row["speaker"] = speaker or self.speakers[0]
        return row

    def respond(self, outputs: Outputs, side: Side) -> JsonObject:
        """The sound as a WAV file in base64."""
        samples, rate = self.postprocess(outputs, side)[0].sound()
        return {
            "seconds": round(len(samples) / rate, 3),
            "sampling_rate": rate,
            "audio": _audio.wav_text(samples, rate),
        }

    @property
    def usage_snippet(self) -> tuple[str, str, str]:
        """The pipeline of Transformers needs a vector of a speaker, and a vocoder."""
        has_vocoder = self.vocoder != _vocoder.GRIFFIN_LIM
        classes = f"{self.auto_model}, {self.auto_processor}" + ", SpeechT5HifiGan" * has_vocoder
        load = (
            f"processor = {self.auto_processor}.from_pretrained(repo)\nmodel = {self.auto_model}.from_pretrained(repo)"
        )
        made = "log10 of mel amplitudes, (frames, bins): `hftransfer predict` makes sound of them by Griffin-Lim"
        if has_vocoder:
            place, _, revision = self.vocoder.partition("@")
            option = f', revision="{revision}"' if revision else ""
            load += f'\nvocoder = SpeechT5HifiGan.from_pretrained("{place}"{option})'
            made = "samples"
        return (
            f"import torch\nfrom transformers import {classes}",
            load,
            'inputs = processor(text="A text.", return_tensors="pt")\n'
            f"{_VECTOR if self.speakers == [] else _SPEAKER}\n"
            "answer = model.generate_speech(\n"
            f"    **inputs, speaker_embeddings=speaker{', vocoder=vocoder' * has_vocoder}\n"
            f")  # {made}",
        )

    def tiny_row(self, number: int) -> Row:
        return {"speaker": "ab"[number % 2]}
