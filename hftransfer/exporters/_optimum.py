"""Optimum, in a worker process with an environment of its own: it is not made for Transformers 5.

The worker exports a saved model, and runs exported models that generate. Which Python it is:

1. this one, where optimum-onnx is installed in it;
2. that of the environment variable HFTRANSFER_OPTIMUM_PYTHON;
3. that of the environment which `hftransfer setup-optimum` makes in the cache folder.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import weakref
from functools import cache
from multiprocessing import Pipe
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hftransfer.core.errors import ExportError, MissingExtraError
from hftransfer.exporters._errors import as_export_error, read_config

if TYPE_CHECKING:
    from transformers import PretrainedConfig

PYTHON_VARIABLE = "HFTRANSFER_OPTIMUM_PYTHON"
SETUP_COMMAND = "hftransfer setup-optimum"
RUNTIME_CLASSES = frozenset(
    f"{prefix}ModelFor{name}"
    for prefix in ("ORT", "OV")
    for name in (
        *("AudioClassification", "CTC", "CausalLM", "ImageClassification", "MaskedLM", "QuestionAnswering"),
        *("SemanticSegmentation", "Seq2SeqLM", "SequenceClassification", "SpeechSeq2Seq", "TokenClassification"),
        "Vision2Seq",
    )
    if (prefix, name) != ("OV", "SemanticSegmentation")
)
"""Optimum's classes that load what tasks export; others are loaded by CustomTasks, as optimum-intel loads SegFormer."""

_RENAMED = {"AutoModelForImageTextToText": "AutoModelForVision2Seq"}
"""Auto class -> its name in Transformers 4, by which Optimum knows encoders of images with decoders of texts."""

_WORKER = Path(__file__).with_name("_optimum_worker.py")
_PINS = Path(__file__).parent.parent / "constraints" / "optimum.txt"


def environment() -> Path:
    """The folder of the environment that `setup` makes."""
    cache_folder = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache_folder).expanduser() / "hftransfer" / "optimum"


def python() -> str:
    """The Python that has Optimum.

    Raises:
        MissingExtraError: there is none.
    """
    if importlib.util.find_spec("optimum") and importlib.util.find_spec("optimum.onnxruntime"):
        return sys.executable
    if named := os.environ.get(PYTHON_VARIABLE):
        if shutil.which(named) is None:
            raise MissingExtraError(f"{PYTHON_VARIABLE}: there is no Python '{named}'")
        return named
    if (environment() / "ready").is_file():
        return str(environment() / "bin" / "python")
    raise MissingExtraError(
        "export: Optimum makes this one, and needs Transformers 4.57 in an environment of its own: "
        f"`{SETUP_COMMAND}` makes it (about 1 GB in {environment()}); or leave export out"
    )


def setup(python: str) -> Path:
    """Make the environment with the tested versions, anew if it is there.

    Args:
        python: of which version 3.11 or later the environment is made.

    Raises:
        MissingExtraError: pip fails; its message is on the terminal.
    """
    folder = environment()
    (folder / "ready").unlink(missing_ok=True)
    requirements = importlib.metadata.requires("hftransfer-recipes") or []
    wanted = [text.partition(";")[0].strip() for text in requirements if re.search(r"extra == .optimum.", text)]
    try:
        subprocess.run([python, "-m", "venv", "--clear", folder], check=True)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet"]
        subprocess.run([*pip, "--constraint", str(_PINS), "torch", *wanted], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise MissingExtraError(f"Optimum's environment could not be made in {folder}: {error}") from None
    (folder / "ready").touch()
    return folder


def auto_class(auto_model: str) -> str:
    """The Auto class after which Optimum names its own classes and what it exports."""
    return _RENAMED.get(auto_model, auto_model)


def check(runtime: str, auto_model: str, config: PretrainedConfig) -> None:
    """Refuse an architecture that Optimum cannot export for what models of the Auto class do.

    Raises:
        ExportError: it is not among those that Optimum knows.
        MissingExtraError: there is no environment with Optimum.
    """
    decoder = getattr(getattr(config, "decoder", None), "model_type", None)
    if not _worker().call("can_export", runtime, auto_class(auto_model), config.model_type, decoder):
        named = config.model_type if decoder is None else f"{config.model_type} with the decoder {decoder}"
        raise ExportError(f"export: Optimum has no {runtime} export of a {named} for {auto_model}; leave it out")


def versions() -> dict[str, str]:
    """Package -> version, of those by which Optimum exports."""
    found: dict[str, str] = _worker().call("versions")
    return found


def export(runtime: str, auto_model: str, source: Path, folder: Path) -> None:
    """Export the model that is saved in `source` for what models of the Auto class do.

    Raises:
        ExportError: Optimum fails, or its process dies.
        MissingExtraError: there is no environment with Optimum.
    """
    _worker().call("export", runtime, auto_class(auto_model), str(source), str(folder))


def load(runtime: str, folder: Path, loader: str, threads: int) -> RemoteModel:
    """An exported model that generates, loaded by a class of Optimum such as `ORTModelForSeq2SeqLM`.

    Raises:
        ExportError: Optimum cannot load it.
        MissingExtraError: there is no environment with Optimum.
    """
    return RemoteModel(runtime, folder, loader, threads)


class RemoteModel:
    """A model in the worker, called as the PyTorch model is."""

    def __init__(self, runtime: str, folder: Path, loader: str, threads: int) -> None:
        import torch
        from transformers import GenerationConfig

        self._worker = _worker()
        threads = threads or torch.get_num_threads()
        self._number: int = self._worker.call("load", runtime, str(folder), loader, threads)
        weakref.finalize(self, self._worker.forget, self._number)
        self.config = read_config(folder)
        with as_export_error(f"'{folder / 'generation_config.json'}' cannot be read", AttributeError, OSError):
            self.generation_config = GenerationConfig.from_pretrained(folder)
        self.device = torch.device("cpu")

    def __call__(self, **inputs: Any) -> Any:
        """The outputs by their names."""
        import torch
        from transformers.utils import ModelOutput

        outputs = self._worker.call("forward", self._number, _as_arrays(inputs))
        return ModelOutput({name: torch.from_numpy(array) for name, array in outputs.items()})

    def generate(self, **inputs: Any) -> Any:
        """Token ids of shape (rows, tokens)."""
        import torch

        return torch.from_numpy(self._worker.call("generate", self._number, _as_arrays(inputs)))


def _as_arrays(inputs: dict[str, Any]) -> dict[str, Any]:
    return {name: value.numpy() if hasattr(value, "numpy") else value for name, value in inputs.items()}


@cache
def _worker() -> _Worker:
    """The worker of this process, started when it is first needed."""
    return _Worker(python())


class _Worker:
    """The process of Optimum, and the pipe to it."""

    def __init__(self, python: str) -> None:
        self._pipe, remote = Pipe()
        # Kept open for as long as the process runs.
        self._messages = tempfile.TemporaryFile()  # noqa: SIM115
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        self._process = subprocess.Popen(
            # -P: the folder of the file, with its `onnx.py`, is not searched for imports.
            [python, "-P", str(_WORKER), str(remote.fileno())],
            pass_fds=[remote.fileno()],
            stdout=subprocess.DEVNULL,
            stderr=self._messages,
            env=environment,
        )
        remote.close()

    def call(self, function: str, *arguments: Any) -> Any:
        """What a function of the worker returns.

        Raises:
            ExportError: it fails, or the process has died.
        """
        try:
            self._pipe.send((function, arguments))
            succeeded, answer = self._pipe.recv()
        except (EOFError, OSError):
            _worker.cache_clear()
            raise ExportError(f"the process of Optimum has died{self._last_words()}") from None
        except BaseException:
            # Interrupted: the answer, which nobody has read, would be taken for that of the next call.
            _worker.cache_clear()
            self._process.kill()
            raise
        if not succeeded:
            raise ExportError(f"Optimum cannot {function.replace('_', ' ')}: {answer}")
        return answer

    def forget(self, number: int) -> None:
        """Let a model go."""
        if self._process.poll() is None:
            self.call("forget", number)

    def _last_words(self) -> str:
        self._messages.seek(0)
        lines = [line for line in self._messages.read().decode(errors="replace").splitlines() if line.strip()]
        return f": {lines[-1][:300]}" if lines else ""
