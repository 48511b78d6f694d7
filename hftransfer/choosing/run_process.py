"""A run in a process of its own, which can be waited for and stopped; what it prints is in a log next to its folder."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from hftransfer.core.errors import RecipeError, RunError
from hftransfer.runner.jobs import run_arguments

# Of a run that has written everything, with or without a rejected variant.
_FINISHED = (0, 3)


class RunProcess:
    """A run that has been started, or goes on."""

    def __init__(self, recipe: str, overrides: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
        """Start the run into `folder`, with variables added to the environment."""
        folder.parent.mkdir(parents=True, exist_ok=True)
        self.name, self._log = folder.name, folder.with_name(f"{folder.name}.log")
        command, variables = [sys.executable, *run_arguments(recipe, overrides, folder)], {**os.environ, **environment}
        with self._log.open("a", encoding="utf-8") as lines:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=lines, stderr=subprocess.STDOUT, env=variables
            )

    def has_ended(self) -> bool:
        """Whether the process is gone."""
        return self._process.poll() is not None

    def terminate(self) -> None:
        """Ask the run to save its step and to end; it can be resumed."""
        if not self.has_ended():
            self._process.terminate()

    def wait(self) -> None:
        """Return when the process is gone."""
        self._process.wait()

    def check(self) -> None:
        """Refuse a run that has ended without a result.

        Raises:
            RecipeError: it refuses its recipe or rows, or its folder holds a run of another recipe.
            RunError: it has failed otherwise.
        """
        code = self._process.returncode
        if code in _FINISHED:
            return
        lines = self._log.read_text(encoding="utf-8").splitlines()
        last = ([line for line in lines if line.strip()] or [""])[-1]
        if code == 2:
            raise RecipeError(f"{self.name}: {last.removeprefix('hftransfer: ')}")
        raise RunError(
            f"{self.name}: the run has ended with exit code {code}; its last line is '{last}' (all: {self._log})"
        )


def start(
    recipe: str, overrides: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None
) -> RunProcess:
    """Start a run, or go on with it."""
    return RunProcess(recipe, overrides, folder, environment or {})
