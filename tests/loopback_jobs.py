"""Jobs and buckets of the fake Hub: a job runs its command here, in a process of its own, with its bucket mounted.

See huggingface_hub's `hf_api.py` (`run_job`, `fetch_job_logs`, `create_bucket`, ...) for the other side. The content of
buckets is kept by hf_xet itself, which takes a folder for a server (`local://`), in one process alone; a mount is a
copy of the bucket's folder, written back when the job ends. In place of `uv` stands a script that takes the packages of
this environment.
"""

import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
import urllib.parse
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any

from loopback import ROUTES, Handler, Hub, Refusal

Answer = tuple[int, Any, dict[str, str]]
_DATE = "2026-01-01T00:00:00.000Z"
_T4 = {"type": "gpu", "model": "T4", "quantity": "1", "vram": "16 GB", "manufacturer": "Nvidia"}
HARDWARE = [
    {"name": name, "prettyName": name, "cpu": "4 vCPU", "ram": "15 GB", "accelerator": accelerator}
    | {"unitCostMicroUSD": round(cost * 1e6), "unitCostUSD": cost, "unitLabel": "minute"}
    for name, cost, accelerator in (
        ("cpu-basic", 0.000167, None),
        ("t4-small", 0.006667, _T4),
        ("l4x4", 0.063333, _T4 | {"model": "L4", "quantity": "4"}),
    )
]
UV = f"""#!/bin/bash
# uv run --no-project --with PACKAGE python ARGUMENTS
[ "$1 $2 $3" = "run --no-project --with" ] && [ "$5" = python ] || exit 9
echo "installed $4"
shift 5
exec {sys.executable} "$@"
"""


@dataclass
class LocalJob:
    """A job; `body` is what the client has asked for."""

    id: str
    owner: str
    body: dict[str, Any]
    stage: str = "SCHEDULING"
    message: str | None = None
    lines: list[str] = field(default_factory=list)
    process: subprocess.Popen[str] | None = None

    def info(self) -> dict[str, Any]:
        """As the Hub describes it: of its secrets, the names alone."""
        known = {key: self.body.get(key) for key in ("command", "arguments", "environment", "flavor", "labels")}
        owner = {"id": "1", "name": self.owner, "type": "user"}
        more = {"dockerImage": self.body["dockerImage"], "secrets": list(self.body.get("secrets", {}))}
        status = {"stage": self.stage, "message": self.message}
        volumes = {"volumes": self.body.get("volumes")}
        return {"id": self.id, "createdAt": _DATE, "owner": owner, "status": status} | known | more | volumes


class Jobs:
    """What is on the Hub: buckets (path -> hash of the content and, once a job has seen it, its size) and jobs."""

    def __init__(self, hub: Hub, folder: Path) -> None:
        self.hub, self.folder = hub, folder
        self.buckets: dict[str, dict[str, tuple[str, int]]] = {}
        self.public: set[str] = set()
        self.jobs: dict[str, LocalJob] = {}
        self.bodies: list[tuple[str, bytes]] = []
        self.time_is_over: Callable[[Path], bool] = lambda mount: False
        """Whether the platform kills a job now, by what is on its volume."""
        (folder / "bin").mkdir()
        self.install(UV)

    def install(self, uv: str) -> None:
        """What the machines of jobs have for `uv`."""
        (self.folder / "bin" / "uv").write_text(uv)
        (self.folder / "bin" / "uv").chmod(stat.S_IRWXU)

    def content(self, bucket: str, path: str) -> bytes:
        """A file of a bucket."""
        target = Path(tempfile.mkdtemp(dir=self.folder), "file")
        self._fetch({path: target}, self.buckets[bucket])
        return target.read_bytes()

    def _fetch(self, targets: dict[str, Path], blobs: dict[str, tuple[str, int]]) -> None:
        import hf_xet
        from huggingface_hub.utils._xet import get_xet_session

        with get_xet_session().new_file_download_group(**self._xet()) as group:
            for path, target in targets.items():
                target.parent.mkdir(parents=True, exist_ok=True)
                if blobs[path][0].strip("0"):
                    group.start_download_file(hf_xet.XetFileInfo(blobs[path][0]), str(target))
                else:
                    target.touch()

    def _keep(self, files: dict[str, Path]) -> dict[str, tuple[str, int]]:
        import hf_xet
        from huggingface_hub.utils._xet import get_xet_session

        with get_xet_session().new_upload_commit(**self._xet()) as commit:
            handles = {
                path: commit.start_upload_file(str(file), sha256=hf_xet.SKIP_SHA256) for path, file in files.items()
            }
        return {path: (handle.result().xet_info.hash, files[path].stat().st_size) for path, handle in handles.items()}

    def _xet(self) -> dict[str, Any]:
        return {"token_refresh_url": f"{self.hub.url}/_xet", "token_refresh_headers": {}, "custom_headers": {}}

    def start(self, job: LocalJob) -> None:
        """Run a job in a thread."""
        self.jobs[job.id] = job
        Thread(target=self._run, args=(job,), daemon=True).start()

    def _run(self, job: LocalJob) -> None:
        (volume,) = job.body["volumes"]
        machine = self.folder / job.id
        mount, prefix, bucket = machine / "mount", f"{volume['path']}/", self.buckets[volume["source"]]
        self._fetch({path: mount / path.removeprefix(prefix) for path in bucket if path.startswith(prefix)}, bucket)
        (machine / "tmp").mkdir()
        environment = {key: value for key, value in os.environ.items() if not key.startswith("HF_TOKEN")}
        environment |= job.body["environment"] | job.body.get("secrets", {}) | {"TMPDIR": str(machine / "tmp")}
        environment["HFTRANSFER_JOB_INTERVAL"] = "0.1"
        environment["PATH"] = f"{self.folder / 'bin'}:{environment['PATH']}"
        environment["PYTHONPATH"] = str(Path(__file__).parent.parent)
        command = [word.replace(volume["mountPath"], str(mount)) for word in job.body["command"]]
        job.process = subprocess.Popen(
            command,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        job.stage = "RUNNING"
        Thread(target=self._limit, args=(job, mount), daemon=True).start()
        for line in job.process.stdout or []:
            job.lines.append(line.rstrip("\n"))
        code = job.process.wait()
        files = {f"{prefix}{path.relative_to(mount)}": path for path in mount.rglob("*") if path.is_file()}
        kept = self._keep(files)
        with self.hub.lock:
            for path in [path for path in bucket if path.startswith(prefix)]:
                del bucket[path]
            bucket.update(kept)
            job.message = job.message or (f"Job failed with exit code: {code}" if code else None)
            job.stage = "ERROR" if job.message else "COMPLETED"

    def _limit(self, job: LocalJob, mount: Path) -> None:
        end = time.monotonic() + job.body["timeoutSeconds"]
        assert job.process is not None
        while job.process.poll() is None:
            if time.monotonic() > end or self.time_is_over(mount):
                job.message = "Job timeout"
                for group in _groups(job.process.pid):
                    os.killpg(group, signal.SIGKILL)
                return
            time.sleep(0.02)


def _groups(pid: int) -> set[int]:
    """The process groups of a process and of all that it has started, as a container ends with all of its processes."""
    found, children = {os.getpgid(pid)}, Path(f"/proc/{pid}/task/{pid}/children")
    for child in children.read_text().split() if children.is_file() else []:
        found |= _groups(int(child))
    return found


def jobs_of(handler: Handler, owner: str | None = None) -> Jobs:
    """The jobs and buckets, if the user may write and the namespace is theirs."""
    jobs: Jobs = handler.server_hub.jobs_and_buckets  # type: ignore[attr-defined]
    jobs.bodies.append((handler.path, handler.body))
    user = handler.user()
    if user is None:
        raise Refusal(401, "", "Invalid username or password.")
    if owner is not None and (owner != user[0] or user[1] != "write"):
        raise Refusal(403, "", "Your token lacks the permission job.write")
    return jobs


def _hardware(handler: Handler) -> Answer:
    return 200, HARDWARE, {}


def _create(handler: Handler, owner: str) -> Answer:
    jobs, body = jobs_of(handler, owner), json.loads(handler.body)
    job = LocalJob(uuid.uuid4().hex[:24], owner, body)
    jobs.start(job)
    return 200, job.info(), {}


def _list(handler: Handler, owner: str) -> Answer:
    jobs, asked = jobs_of(handler, owner), urllib.parse.parse_qs(handler.path.partition("?")[2])
    labels = [label.split("=", 1) for label in asked.get("label", [])]
    rows = [job for job in jobs.jobs.values() if job.stage in asked.get("stage", [job.stage])]
    return 200, [job.info() for job in rows if all(job.body["labels"].get(k) == v for k, v in labels)], {}


def _job(handler: Handler, owner: str, number: str) -> Answer:
    return 200, jobs_of(handler, owner).jobs[number].info(), {}


def _cancel(handler: Handler, owner: str, number: str) -> Answer:
    job = jobs_of(handler, owner).jobs[number]
    job.message = "Job canceled"
    for group in _groups(job.process.pid) if job.process else []:
        os.killpg(group, signal.SIGKILL)
    return 200, job.info(), {}


def _logs(handler: Handler, owner: str, number: str) -> Answer:
    job = jobs_of(handler, owner).jobs[number]

    def events() -> Iterator[bytes]:
        yield b": keep-alive\n\n"
        shown = 0
        while True:
            ended = job.stage not in ("SCHEDULING", "RUNNING")
            for line in job.lines[shown:]:
                shown += 1
                yield f"data: {json.dumps({'timestamp': _DATE, 'data': line})}\n\n".encode()
            if ended:
                return
            time.sleep(0.02)

    return 200, events(), {"Content-Type": "text/event-stream"}


def _new_bucket(handler: Handler, owner: str, name: str) -> Answer:
    jobs, bucket = jobs_of(handler, owner), f"{owner}/{name}"
    answer = {"url": f"{handler.server_hub.url}/buckets/{bucket}"}
    if bucket in jobs.buckets:
        return 409, answer | {"error": "You already created this bucket"}, {}
    jobs.buckets[bucket] = {}
    if json.loads(handler.body).get("visibility") != "private":
        jobs.public.add(bucket)
    return 200, answer, {}


def _files(handler: Handler, bucket: str) -> dict[str, tuple[str, int]]:
    jobs = jobs_of(handler, bucket.partition("/")[0])
    if bucket not in jobs.buckets:
        raise Refusal(404, "RepoNotFound", "Bucket not found")
    return jobs.buckets[bucket]


def _bucket(handler: Handler, bucket: str) -> Answer:
    files, jobs = _files(handler, bucket), jobs_of(handler)
    sizes = {"size": 0, "totalFiles": len(files)}
    return 200, {"id": bucket, "private": bucket not in jobs.public, "createdAt": _DATE} | sizes, {}


def _row(path: str, blob: tuple[str, int]) -> dict[str, Any]:
    return {"type": "file", "path": path, "size": blob[1], "xetHash": blob[0], "mtime": _DATE}


def _tree(handler: Handler, bucket: str, prefix: str | None) -> Answer:
    files = _files(handler, bucket)
    return 200, [_row(path, files[path]) for path in sorted(files) if path.startswith(prefix or "")], {}


def _paths(handler: Handler, bucket: str) -> Answer:
    files = _files(handler, bucket)
    return 200, [_row(path, files[path]) for path in json.loads(handler.body)["paths"] if path in files], {}


def _batch(handler: Handler, bucket: str) -> Answer:
    files = _files(handler, bucket)
    for line in handler.body.splitlines():
        change = json.loads(line)
        if change["type"] == "addFile":
            files[change["path"]] = change["xetHash"], -1
        else:
            files.pop(change["path"], None)
    return 200, {"success": True, "processed": 1, "failed": []}, {}


def _token(handler: Handler, *_: str) -> Answer:
    place = f"local://{handler.server_hub.jobs_and_buckets.folder / 'content'}"  # type: ignore[attr-defined]
    end = int(time.time()) + 3600
    headers = {"X-Xet-Cas-Url": place, "X-Xet-Access-Token": "x", "X-Xet-Token-Expiration": str(end)}
    return 200, {"casUrl": place, "accessToken": "x", "exp": end}, headers


def _resolve(handler: Handler, bucket: str, path: str) -> Answer:
    refresh = f"{handler.server_hub.url}/_xet"
    key, _ = _files(handler, bucket)[path]
    return 200, b"", {"X-Xet-Hash": key, "X-Xet-Refresh-Route": refresh, "X-Linked-Size": "1"}


_ID, _JOB = r"([^/]+/[^/]+)", r"/api/jobs/([^/]+)/([^/]+)"
ROUTES[:0] = [
    ("GET", r"/api/jobs/hardware", _hardware),
    ("POST", r"/api/jobs/([^/]+)", _create),
    ("GET", r"/api/jobs/([^/]+)", _list),
    ("GET", _JOB, _job),
    ("GET", rf"{_JOB}/logs", _logs),
    ("POST", rf"{_JOB}/cancel", _cancel),
    ("POST", r"/api/buckets/([^/]+)/([^/]+)", _new_bucket),
    ("GET", rf"/api/buckets/{_ID}", _bucket),
    ("GET", rf"/api/buckets/{_ID}/tree(?:/(.*))?", _tree),
    ("POST", rf"/api/buckets/{_ID}/paths-info", _paths),
    ("POST", rf"/api/buckets/{_ID}/batch", _batch),
    ("GET", rf"/api/buckets/{_ID}/xet-(?:read|write)-token", _token),
    ("GET", r"/_xet", _token),
    ("GET HEAD", rf"/buckets/{_ID}/resolve/(.+)", _resolve),
]
