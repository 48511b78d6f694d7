"""The path of a first-time user, typed into a terminal: wheel, `new`, `run`, `demo`."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
import tiny

from hftransfer.core import plugins

pytest.importorskip("gradio")

ROWS = ["text,label", *(f'"good {i}, a {i % 7}",{["praise", "complaint"][i % 2]}' for i in range(80))]


class Terminal:
    """Commands that run one after the other in a terminal of their own, and what they print."""

    def __init__(self, folder, environment):
        self.folder, self.environment, self.typed = folder, environment, []

    def start(self, *words):
        self.typed.append(words)
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            words, cwd=self.folder, env=self.environment, stdin=theirs, stdout=theirs, stderr=theirs,
            start_new_session=True,
        )  # fmt: skip
        os.close(theirs)
        return process, ours

    def read(self, screen, until=None):
        """What appears until a pattern does, or until the end."""
        text, end = "", time.monotonic() + 100
        while time.monotonic() < end and not (until and re.search(until, text)):
            ready, _, _ = select.select([screen], [], [], 1)
            try:
                part = os.read(screen, 65536).decode(errors="replace") if ready else None
            except OSError:
                return text
            if part == "":
                return text
            text += part or ""
        return text

    def run(self, *words):
        process, screen = self.start(*words)
        text = self.read(screen)
        assert process.wait(timeout=10) == 0, text
        return text


@pytest.mark.xdist_group("wheel")
@pytest.mark.timeout(180)
def test_four_commands_lead_from_a_wheel_and_a_table_to_a_page(wheel, hub, tmp_path):
    (tmp_path / "reviews.csv").write_text("\n".join(ROWS))
    bert = tiny.checkpoint(plugins.load("tasks", "text-classification")(), tmp_path / "bert")
    hub.add("sentence-transformers/all-MiniLM-L6-v2", {file.name: file.read_bytes() for file in bert.iterdir()})
    # The packages that the wheel needs are those of the tests.
    site = tmp_path / "site"
    environment = os.environ | {"PYTHONPATH": str(site), "TERM": "xterm", "COLUMNS": "120"}
    terminal = Terminal(tmp_path, environment)
    install = ("-q", "--no-deps", "--no-index", "--disable-pip-version-check", "--target", str(site))
    terminal.run(sys.executable, "-m", "pip", "install", *install, str(wheel))
    command = [sys.executable, str(site / "bin" / "hftransfer")]
    assert "hftransfer run reviews.yaml" in terminal.run(*command, "new", "reviews.csv", "--yes")
    assert "tuned" in terminal.run(*command, "run", "reviews.yaml")
    assert {"model", "report.html", "result.json"} <= {path.name for path in (tmp_path / "runs" / "reviews").iterdir()}
    process, screen = terminal.start(*command, "demo", "runs/reviews", "--port", "0")
    address = re.search(r"http://127\.0\.0\.1:\d+", terminal.read(screen, r"answers for"))[0]
    config = json.loads(urllib.request.urlopen(f"{address}/config", timeout=20).read())
    assert config["title"] and Path(site / "hftransfer").is_dir()
    process.send_signal(signal.SIGINT)
    # Ctrl-C: 128 + SIGINT.
    assert process.wait(timeout=20) in (0, 130) and len(terminal.typed) <= 6
