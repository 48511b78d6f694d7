"""From a spectrogram to sound: the algorithm of Griffin and Lim, which has nothing to learn, or a HiFi-GAN."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from hftransfer.core.errors import ModelError
from hftransfer.core.named_checkpoints import locate

if TYPE_CHECKING:
    from transformers import FeatureExtractionMixin

    from hftransfer.metrics._speech import Sound

GRIFFIN_LIM = "griffin_lim"
_ITERATIONS = 60


def check(vocoder: str, extractor: FeatureExtractionMixin) -> None:
    """Make sure, by its config alone, that a vocoder takes the spectrograms of a model.

    Raises:
        ModelError: there is none of that name, or it takes others.
    """
    if vocoder == GRIFFIN_LIM:
        return
    config = _read("SpeechT5HifiGanConfig", vocoder)
    sizes = {
        "bins": (config.model_in_dim, extractor.num_mel_bins),
        "Hz": (config.sampling_rate, extractor.sampling_rate),
    }
    for unit, (expected, actual) in sizes.items():
        if expected != actual:
            raise ModelError(
                f"task.vocoder: '{vocoder}' makes sound of spectrograms of {expected} {unit}, and the model's are of "
                f"{actual}: take {GRIFFIN_LIM}, or another vocoder"
            )


def synthesize(spectrogram: np.ndarray, vocoder: str, extractor: FeatureExtractionMixin) -> Sound:
    """Samples in [-1, 1] and their rate, of log10 of mel amplitudes of shape (frames, bins).

    Raises:
        ModelError: the vocoder cannot be read.
    """
    import torch

    with torch.inference_mode():
        if vocoder == GRIFFIN_LIM:
            samples = _griffin_lim(spectrogram, extractor)
        else:
            samples = _open(vocoder)(torch.from_numpy(spectrogram).float()).numpy()
    return samples.clip(-1, 1).astype(np.float32), extractor.sampling_rate


def _griffin_lim(spectrogram: np.ndarray, extractor: FeatureExtractionMixin) -> np.ndarray:
    """Samples whose spectrogram is near to this one, by 60 iterations from random phases.

    Griffin and Lim 1984, https://doi.org/10.1109/TASSP.1984.1164317. Amplitudes of the frequencies are those of least
    squares, none below 0.
    """
    import torch

    # Half a window is reflected at both ends, so that there has to be a whole one.
    missing = max(0, extractor.n_fft // extractor.sample_stride + 1 - len(spectrogram))
    mel = np.pad(10 ** spectrogram.astype(float), [(0, missing), (0, 0)])
    linear = np.maximum(mel @ np.linalg.pinv(extractor.mel_filters), 0)
    amplitudes = torch.from_numpy(linear.T.astype(np.float32))
    window = torch.hann_window(extractor.sample_size)
    sizes = {"n_fft": extractor.n_fft, "hop_length": extractor.sample_stride, "win_length": extractor.sample_size}
    length = (len(mel) - 1) * extractor.sample_stride
    phases = torch.rand(amplitudes.shape, generator=torch.Generator().manual_seed(0)) * 2 * np.pi
    for _ in range(_ITERATIONS):
        samples = torch.istft(torch.polar(amplitudes, phases), **sizes, window=window, length=length)
        phases = torch.stft(samples, **sizes, window=window, return_complex=True).angle()
    samples = torch.istft(torch.polar(amplitudes, phases), **sizes, window=window, length=length)
    return np.asarray(samples)


@lru_cache(maxsize=1)
def _open(vocoder: str) -> Any:
    return _read("SpeechT5HifiGan", vocoder, use_safetensors=True).eval()


def _read(name: str, vocoder: str, **options: Any) -> Any:
    """`from_pretrained` of a class of Transformers.

    Raises:
        ModelError: it fails, for a reason in the checkpoint.
    """
    import transformers

    place, revision = locate("task.vocoder", vocoder)
    try:
        return getattr(transformers, name).from_pretrained(place, revision=revision, **options)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ModelError(f"task.vocoder: {name} cannot read '{vocoder}': {reason}") from error
