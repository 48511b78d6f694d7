"""`run --on hf-jobs:FLAVOR`: a run as a job of the Hub, which goes on after a time limit.

Recipe and local files are copied into a folder of a private bucket of the user, named by the run and by a hash of the
recipe; the job mounts it, and `runner.volume` copies the run there while it is written. The same command thus finds
what an earlier one has left: a job that is running, a run to go on with, or one that has only to be downloaded.
"""

from __future__ import annotations

import json
import re
import time
import uuid
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from hftransfer.core.console import report
from hftransfer.core.errors import RecipeError, RunError
from hftransfer.core.files import hash_of
from hftransfer.core.installation import this_version
from hftransfer.hub.jobs import JobsClient, Machine
from hftransfer.hub.upload import check_write_access
from hftransfer.recipe.schema import Recipe
from hftransfer.runner import volume
from hftransfer.runner.jobs import TERMINATED
from hftransfer.runner.staging import Staged, extras, stage

if TYPE_CHECKING:
    from huggingface_hub import JobInfo

NAME = "hf-jobs"
_BUCKET, _MOUNT = "hftransfer-runs", "/hftransfer"
# The shell notes when the job began: installing what follows may take minutes.
_SHELL = f'export {volume.STARTED}=$(date +%s); exec "$@"'
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")
_SHOWN = 20
_TRIES, _PAUSE = 30, 2.0


@dataclass(frozen=True)
class Job:
    """A run on the Hub: to be started, already running, or finished."""

    client: JobsClient
    out: Path
    staged: Staged
    package: str
    """What the job installs."""
    machine: Machine
    seconds: int
    push: str | None
    """The repository that the recipe pushes to; None: the run is downloaded."""
    running: JobInfo | None = None
    finished: bool = False
    """The bucket has the complete run, which has only to be downloaded."""

    @property
    def name(self) -> str:
        """The run's name in the job."""
        return _UNSAFE.sub("_", self.out.name)

    @property
    def folder(self) -> str:
        """That of the run in the bucket; another recipe has another one."""
        return f"{self.name}-{hash_of(self.staged.recipe)[:10]}"

    @property
    def address(self) -> str:
        """Where a browser shows the folder of the run."""
        return f"{self.client.api.endpoint}/buckets/{self.client.bucket}/{self.folder}"

    def command(self, key: str) -> list[str]:
        """The command of the job; with several GPUs there is a process for each."""
        return [
            *("sh", "-c", _SHELL, "sh", "uv", "run", "--no-project", "--with", self.package),
            *("python", "-m", volume.__name__, _MOUNT, self.name, str(self.seconds), key),
            *([str(self.machine.gpus)] if self.machine.gpus > 1 else []),
        ]

    def __str__(self) -> str:
        """What is started, what is uploaded and where to, and what it costs at most."""
        if self.finished:
            return f"{self.address} has the finished run: it is downloaded to {self.out}"
        if self.running is not None:
            return f"a job of this run has not ended yet: {self.running.url}"
        origins = {f"{volume.FILES}/{name}": f" from {file}" for name, file in self.staged.files.items()}
        lines = [f"  {name}{origin}" for name, origin in {volume.RECIPE: "", **origins}.items()]
        most = self.machine.price * self.seconds / 3600
        return "\n".join(
            [
                f"hf-jobs: {self.machine.text}, ${self.machine.price:.2f} an hour",
                f"time limit: {_duration(self.seconds)} (--timeout), so the job costs at most ${most:.2f}",
                f"installs: {self.package}",
                f"uploads to {self.address}, which is private, {self.staged.size() / 1e6:.1f} MB:",
                *lines[:_SHOWN],
                *([f"  ... ({len(lines)} files in all)"] if len(lines) > _SHOWN else []),
                f"at the end: {f'pushed to {self.push}' if self.push else f'downloaded to {self.out}'}",
            ]
        )

    def run(self) -> int:
        """Start the job, or watch the one that is running, until it ends; the exit code of the run.

        Unless it is pushed, a run that is complete is downloaded.
        """
        code = 0
        if not self.finished:
            code = self._exit_code(self.client.watch(self.running or self._start()))
        if self.push is None and code in (0, 3):
            self.client.download(f"{self.folder}/{volume.RUN}/{self.name}", self.out)
            place = f"{self.client.bucket}/{self.folder}"
            report(f"the bucket has a copy, which `hf buckets rm {place} --recursive` deletes")
        return code

    def _start(self) -> JobInfo:
        key = uuid.uuid4().hex
        files = {f"{volume.FILES}/{name}": file for name, file in self.staged.files.items()}
        self.client.upload(self.folder, {volume.RECIPE: self.staged.recipe.encode(), **files}, cleared=volume.FILES)
        labels = {"hftransfer": self.folder, "key": key, "name": f"hftransfer-{self.name}"}
        return self.client.start(self.command(key), self.machine, self.seconds, {self.folder: _MOUNT}, **labels)

    def _exit_code(self, job: JobInfo) -> int:
        """That of the run in a job that has ended.

        Raises:
            RunError: it has ended without one.
        """
        message = job.status.message or ""
        code = self._recorded_code(job)
        if code is not None:
            pass
        elif named := re.search(r"exit code:? (\d+)", message):
            code = int(named[1])
        elif "timeout" in message.lower():
            code = TERMINATED
        else:
            raise RunError(f"the job {job.url} has ended as {job.status.stage} ({message}); its log says why")
        if code == TERMINATED:
            report(f"the job has ended before the run ({message or 'its time was over'}): the same command goes on")
        return code

    def _recorded_code(self, job: JobInfo) -> int | None:
        """The exit code that the job has left in the bucket; None where it was killed before."""
        # What a mounted bucket was given last may come a moment after the end of the job.
        for _ in range(_TRIES if job.status.stage == "COMPLETED" else 1):
            end = json.loads(self.client.read(f"{self.folder}/{volume.END}") or "{}")
            if end and end["key"] == (job.labels or {}).get("key"):
                return int(end["code"])
            time.sleep(_PAUSE)
        return None


def job(recipe: Recipe, out: Path, flavor: str, limit: str) -> Job:
    """The job of a run; nothing is copied or started yet.

    Args:
        recipe: with its overrides.
        out: directory of the run.
        flavor: of the machine.
        limit: of the time, such as 90m.

    Raises:
        RecipeError: an unknown flavor, a limit that is none, a file that is not there, or a directory that is taken.
        HubError: there is no token or network, or the Hub refuses.
    """
    seconds = _seconds(limit)
    if recipe.hub is None and out.exists():
        raise RecipeError(f"'{out}' exists; --out chooses another place for the run that is downloaded")
    staged, package = stage(recipe), this_version(extras(recipe))
    client = JobsClient.open(_BUCKET)
    push = recipe.hub.repo if recipe.hub else None
    planned = Job(client, out, staged, package, client.machine(flavor), seconds, push)
    if push is not None:
        check_write_access(push)
    running = client.running({"hftransfer": planned.folder})
    record = f"{planned.folder}/{volume.RUN}/{planned.name}/result.json"
    # A run that is pushed asks the job, which pushes again what has not arrived.
    return replace(planned, running=running, finished=running is None and push is None and client.has(record))


def _seconds(limit: str) -> int:
    """`90m` -> 5400."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", limit)
    seconds = round(float(match[1]) * _UNITS[match[2] or "s"]) if match else 0
    if not 60 <= seconds <= 30 * 86400:
        raise RecipeError(f"--timeout: from 1m to 30d, as a number with s, m, h or d, such as 90m; got '{limit}'")
    return seconds


def _duration(seconds: int) -> str:
    unit = next(unit for unit in reversed(_UNITS) if seconds % _UNITS[unit] == 0)
    return f"{seconds // _UNITS[unit]}{unit}"
