"""Jobs of the Hub and the buckets that they mount (https://huggingface.co/docs/huggingface_hub/guides/jobs).

The token is a secret of a job, and stands nowhere else.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hftransfer.core import plugins
from hftransfer.core.console import report
from hftransfer.core.errors import HubError, RecipeError, without_secrets
from hftransfer.core.termination import Terminated
from hftransfer.hub.client import network_errors, status_message

if TYPE_CHECKING:
    from huggingface_hub import BucketFile, HfApi, JobHardwareInfo, JobInfo

# Debian with Python and uv: what `hf jobs uv run` takes, too.
_IMAGE = "ghcr.io/astral-sh/uv:python3.12-bookworm"
_HOURS = {"second": 3600, "minute": 60, "hour": 1}


@dataclass(frozen=True)
class Machine:
    """Hardware that a job can have."""

    flavor: str
    text: str
    """Processor, memory and GPUs, for people."""
    price: float
    """US dollars an hour."""
    gpus: int


@dataclass(frozen=True)
class JobsClient:
    """Jobs and one private bucket of the owner of the token."""

    api: HfApi
    user: str
    bucket: str

    @classmethod
    def open(cls, bucket: str) -> JobsClient:
        """The client of this machine's token; `bucket` is the name of the bucket, without the user.

        Raises:
            HubError: there is no token or network, or an old huggingface_hub.
        """
        from huggingface_hub import HfApi, constants, get_token
        from huggingface_hub import __version__ as installed

        if not hasattr(HfApi, "sync_job_volume"):
            raise HubError(
                f"--on hf-jobs: jobs with volumes need a newer huggingface_hub than {installed}: "
                "pip install -U huggingface_hub transformers"
            )
        if constants.HF_HUB_OFFLINE:
            raise HubError("--on hf-jobs: HF_HUB_OFFLINE is set, so no job can be started")
        if get_token() is None:
            raise HubError("--on hf-jobs: a job needs a token with the right to write: hf auth login, or HF_TOKEN")
        api = HfApi()
        with _requests("you"):
            user = str(api.whoami()["name"])
        return cls(api, user, f"{user}/{bucket}")

    def machine(self, flavor: str) -> Machine:
        """The hardware of a flavor, at its present price.

        Raises:
            RecipeError: there is no such flavor.
        """
        with _requests(self.user):
            machines = {machine.name: machine for machine in self.api.list_jobs_hardware()}
        if flavor not in machines:
            raise RecipeError(f"--on hf-jobs: there is no flavor '{flavor}'; {plugins.nearest(flavor, machines, {})}")
        return _machine(machines[flavor])

    def running(self, labels: dict[str, str]) -> JobInfo | None:
        """A job with these labels that has not ended."""
        with _requests(self.user):
            stages = ["RUNNING", "SCHEDULING"]
            return next(iter(self.api.list_jobs(status=stages, labels=labels, namespace=self.user)), None)

    def has(self, path: str) -> bool:
        """Whether the bucket has a file."""
        from huggingface_hub.errors import BucketNotFoundError

        with _requests(self.user):
            try:
                return any(self.api.get_bucket_paths_info(self.bucket, [path]))
            except BucketNotFoundError:
                return False

    def upload(self, folder: str, files: Mapping[str, Path | bytes], cleared: str) -> None:
        """Copy files into a folder of the bucket, which is made where there is none.

        Of its sub-folder `cleared`, other files are deleted.

        Raises:
            HubError: the bucket is public, or the Hub refuses.
        """
        with _requests(self.user):
            self.api.create_bucket(self.bucket, private=True, exist_ok=True)
            if not self.api.bucket_info(self.bucket).private:
                raise HubError(f"the bucket '{self.bucket}' is public, so your files would be, too; make it private")
            added = {f"{folder}/{name}": content for name, content in files.items()}
            gone = sorted({file.path for file in self._files(f"{folder}/{cleared}")} - added.keys())
            self.api.batch_bucket_files(
                self.bucket, add=[(content, name) for name, content in added.items()], delete=list(gone)
            )

    def start(
        self, command: list[str], machine: Machine, seconds: int, mount: Mapping[str, str], **labels: str
    ) -> JobInfo:
        """Start a job, which has the token as a secret; `mount` is folder of the bucket -> folder of the job."""
        from huggingface_hub import Volume, get_token

        with _requests(self.user):
            return self.api.run_job(
                image=_IMAGE,
                command=command,
                secrets={"HF_TOKEN": get_token()},
                flavor=machine.flavor,
                timeout=seconds,
                labels=labels,
                volumes=[
                    Volume(type="bucket", source=self.bucket, mount_path=target, path=path)
                    for path, target in mount.items()
                ],
                namespace=self.user,
            )

    def watch(self, job: JobInfo) -> JobInfo:
        """Print the log of a job until it ends; the job as it has ended."""
        from huggingface_hub import get_token

        token = get_token() or "hf_"
        report(f"job {job.id}: {job.url}")
        try:
            with _requests(self.user, f"the job goes on ({job.url}); the same command shows its log again"):
                for line in self.api.fetch_job_logs(job_id=job.id, namespace=self.user, follow=True):
                    report(without_secrets(line.rstrip("\n").replace(token, "***")))
                return self.api.wait_for_job(job.id, namespace=self.user)
        except (KeyboardInterrupt, Terminated):
            report(f"\nthe job goes on: {job.url}; `hf jobs cancel {job.id}` ends it")
            raise

    def read(self, path: str) -> str | None:
        """The text of a file of the bucket; None where there is none."""
        with tempfile.TemporaryDirectory() as folder, _requests(self.user):
            file = Path(folder, "content")
            for found in self.api.get_bucket_paths_info(self.bucket, [path]):
                self.api.download_bucket_files(self.bucket, [(found, file)])
            return file.read_text(encoding="utf-8") if file.is_file() else None

    def download(self, folder: str, target: Path) -> None:
        """A folder of the bucket, completely or not at all."""
        partial = target.with_name(f"{target.name}.downloading")
        shutil.rmtree(partial, ignore_errors=True)
        with _requests(self.user):
            files: list[tuple[str | BucketFile, str | Path]] = []
            for found in self._files(folder):
                if ".." in found.path.split("/"):
                    raise HubError(
                        f"'{found.path}' in the bucket '{self.bucket}' leads out of the folder: not downloaded"
                    )
                files.append((found, partial / found.path.removeprefix(f"{folder}/")))
                Path(files[-1][1]).parent.mkdir(parents=True, exist_ok=True)
            self.api.download_bucket_files(self.bucket, files)
        partial.rename(target)

    def _files(self, folder: str) -> Sequence[BucketFile]:
        # The Hub also lists what only begins with the name of the folder.
        tree = self.api.list_bucket_tree(self.bucket, folder, recursive=True)
        return [entry for entry in tree if entry.type == "file" and entry.path.startswith(f"{folder}/")]


def _machine(hardware: JobHardwareInfo) -> Machine:
    parts, gpus = [hardware.cpu, f"{hardware.ram} memory"], 0
    if gpu := hardware.accelerator:
        parts.append(f"{gpu.quantity} x {gpu.manufacturer} {gpu.model} with {gpu.vram}")
        gpus = int(gpu.quantity)
    price = hardware.unit_cost_usd * _HOURS[hardware.unit_label]
    return Machine(hardware.name, f"{hardware.name} ({', '.join(parts)})", price, gpus)


@contextmanager
def _requests(user: str, remedy: str = "give the same command again later") -> Iterator[None]:
    """Turn a refusal of the Hub, or a dead network, into a sentence.

    Raises:
        HubError: any of them.
    """
    from huggingface_hub import errors

    # hf_xet, which moves the content of buckets, raises RuntimeError.
    cut: tuple[type[Exception], ...] = (RuntimeError, *network_errors())
    try:
        yield
    except errors.HfHubHTTPError as error:
        status = getattr(error.response, "status_code", None)
        answer = " ".join((error.server_message or "").split())[:300]
        messages = {
            402: f"the Hub asks for payment before it runs jobs of '{user}' ({answer}): "
            "https://huggingface.co/settings/billing",
            403: f"the token may not do this for '{user}' ({answer}): it needs the rights to run jobs and to write",
        }
        known = messages.get(status or 0) or status_message(status, f"jobs of '{user}'", str(error))
        raise HubError(known) from None
    except cut as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise HubError(f"the connection to the Hub was cut ({reason}): {remedy}") from None
