"""A Hub of our own on loopback for every test, and no other address; one thread for the tiny models."""

import gc
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from loopback import Hub

assert not {"huggingface_hub", "transformers", "datasets"} & set(sys.modules), "they read the environment when imported"

ROOT = Path(__file__).parent.parent
HUB = Hub()
LOCAL = {"127.0.0.1", "localhost", "::1", ""}
HOME = tempfile.TemporaryDirectory()

# Libraries that are imported while a test captures stderr log into its stream, also when it is closed.
logging.raiseExceptions = False
for name in list(os.environ):
    if name.startswith(("HF_", "HUGGINGFACE_", "TRANSFORMERS_")):
        del os.environ[name]
os.environ.update(
    # More threads only wait for each other.
    OMP_NUM_THREADS="1",
    HF_ENDPOINT=HUB.url,
    HF_HOME=HOME.name,
    # Synthetic speech is made once and kept there.
    HF_DATASETS_CACHE=str(Path.home() / ".cache" / "huggingface" / "datasets"),
    HF_HUB_DISABLE_XET="1",
    HF_HUB_DISABLE_TELEMETRY="1",
    HF_UPDATE_DOWNLOAD_COUNTS="0",
    DISABLE_SAFETENSORS_CONVERSION="1",
    NO_PROXY="127.0.0.1,localhost",
    no_proxy="127.0.0.1,localhost",
)

# A shell that starts the tests in the background lets them ignore Ctrl-C, which some of them send to themselves.
signal.signal(signal.SIGINT, signal.default_int_handler)

_look_up = socket.getaddrinfo


def _guarded(host, *args, **kwargs):
    name = host.decode() if isinstance(host, bytes) else host
    # What asks a data set's own server for statistics gets the answer of a machine without a network.
    if name not in LOCAL:
        raise socket.gaierror(f"the tests reach loopback alone, not {name}")
    return _look_up(host, *args, **kwargs)


socket.getaddrinfo = _guarded


@pytest.fixture(autouse=True)
def _quick(monkeypatch, request):
    """Few calls are timed, a probe as a baseline is short, and no training searches the large libraries for garbage.

    The pictures of a run, a third of the time of a tiny one, are drawn where they are looked at.
    """
    if request.module.__name__ not in ("test_cli", "test_hub", "test_report"):
        monkeypatch.setattr("hftransfer.reporting.plots.Plot.png", lambda self: b"")
        if request.module.__name__ not in ("test_certainty", "test_strategies"):
            monkeypatch.setattr("hftransfer.reporting.report.run_plots", lambda result: {})
        if request.module.__name__ != "test_audio_frames":
            monkeypatch.setattr("hftransfer.tasks._segments.plot", lambda cell, rows, labels: "")
    from hftransfer.strategies.linear_probe import LinearProbe

    monkeypatch.setattr("hftransfer.evaluation.latency._TIMED", {1: 3, 8: 2})
    monkeypatch.setitem(LinearProbe.training, "num_train_epochs", 3)
    if "transformers.trainer" in sys.modules and not gc.get_freeze_count():
        gc.collect()
        gc.freeze()


@pytest.fixture
def hub(monkeypatch):
    """The Hub without faults; the user is alice, who may write. Repositories stay: every test takes ids of its own."""
    HUB.tokens = {"hf_aliceMayWrite": ("alice", "write"), "hf_aliceMayRead": ("alice", "read")}
    monkeypatch.setenv("HF_TOKEN", "hf_aliceMayWrite")
    HUB.arm(None)
    yield HUB
    HUB.arm(None)


@pytest.fixture
def in_process(monkeypatch):
    """`hftransfer run` of a grid without a process of its own, which takes ten seconds to import what is there."""
    run_in_process(monkeypatch)


def run_in_process(monkeypatch):
    """The same, for a fixture that several tests share."""
    from hftransfer.choosing import run_process
    from hftransfer.cli import main

    class Ended:
        """A run that ends where it is started."""

        def __init__(self, recipe, overrides, folder, environment=None):
            with monkeypatch.context() as variables:
                for name, value in (environment or {}).items():
                    variables.setenv(name, value)
                self.code = main(["run", recipe, *overrides, "--out", str(folder), "--resume"])

        def has_ended(self):
            return True

        def terminate(self):
            pass

        def wait(self):
            pass

        def check(self):
            assert self.code == 0

    monkeypatch.setattr(run_process, "start", Ended)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    """The wheel, which is built from a copy, so that nothing is left in the repository."""
    copy, out = (tmp_path_factory.mktemp(name) for name in ("sources", "wheel"))
    for name in ("hftransfer", "recipes", "pyproject.toml", "README.md", "LICENSE"):
        place = ROOT / name
        if place.is_dir():
            shutil.copytree(place, copy / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(place, copy)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(copy)]
    subprocess.run(command, check=True, capture_output=True)
    (file,) = out.iterdir()
    return file
