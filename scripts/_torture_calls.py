"""Commands of hftransfer by the thousand: in forked processes of one that has imported everything, each watched.

A fault is an exception, an exit code that a command does not have, a refusal without a sentence, more than 30 seconds
of the processor, or a file that is written outside of the campaign's own folder and the caches.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from hftransfer.core.machine import usable_cores

SECONDS = 30
# By the clock, on a machine that has other work too.
_PATIENCE = 240
# Over what the process holds when it starts: a check of a small recipe takes some hundred megabytes.
_MEMORY = 8 << 30
_WRITES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "shutil.rmtree"}
_CODES = (0, 2, 3)
_SENTENCE = "hftransfer: "
Command = tuple[str, Sequence[str]]
"""A name, and the arguments of the command line."""


@dataclass
class Outcome:
    """What became of one command."""

    name: str
    code: int | None = None
    text: str = ""
    """What it wrote on stderr, and on stdout where it succeeded."""
    fault: str = ""
    read: bool = True
    """Whether it has read the file that the campaign watches, where there is one."""


Prepare = Callable[[str], Path | None]
"""Makes what the command of a name works on; the file that is watched, if one is."""


class _TooSlow(BaseException):
    """Not an Exception, so that no handler takes it for an error of a library."""


def _alarm(*_args: object) -> None:
    raise _TooSlow


def _watch_writes(root: Path, writes: list[str]) -> None:
    """Note every path outside of `root` that Python opens for writing, makes or removes."""
    caches = [os.environ[name] for name in ("HF_HOME", "HF_DATASETS_CACHE") if name in os.environ]
    allowed = (str(root), tempfile.gettempdir(), "/dev/", "/proc/self/", *caches)

    def hook(event: str, args: tuple[object, ...]) -> None:
        if event == "open":
            path, mode, flags = args
            wanted = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            path = path if wanted or (isinstance(mode, str) and set(mode) & set("wax+")) else None
        else:
            path = args[0] if event in _WRITES else None
        if isinstance(path, str | bytes | os.PathLike):
            place = os.path.abspath(os.fsdecode(path))  # noqa: PTH100 (resolving would open)
            if not place.startswith(allowed):
                writes.append(f"{event} {place}")

    sys.addaudithook(hook)


def call(name: str, arguments: Sequence[str], writes: list[str]) -> Outcome:
    """One command in this process."""
    from hftransfer import cli

    outcome, out, err = Outcome(name), io.StringIO(), io.StringIO()
    writes.clear()
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            outcome.code = cli.main(arguments)
    except SystemExit as stop:
        # argparse explains wrong options so.
        outcome.code = stop.code if isinstance(stop.code, int) else 1
    except _TooSlow:
        outcome.fault = f"more than {SECONDS} s"
    except BaseException as error:  # noqa: BLE001 (that is what is looked for)
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/hftransfer/" in frame.filename]
        place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"
        outcome.fault = f"traceback at {place}: {type(error).__name__}: {str(error)[:200]}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    # Between the sentences stand progress bars, which end their lines by a carriage return.
    sentences = "\n".join(line for line in err.getvalue().splitlines() if _SENTENCE in line)
    outcome.text = sentences + err.getvalue()[-5000:] + (out.getvalue()[-3000:] if outcome.code == 0 else "")
    if not outcome.fault:
        outcome.fault = _fault(outcome, writes)
    return outcome


def _fault(outcome: Outcome, writes: list[str]) -> str:
    if writes:
        return f"written outside: {writes[0]}"
    if outcome.code not in _CODES:
        return f"exit code {outcome.code}"
    if outcome.code == 2 and _SENTENCE not in outcome.text and "error: " not in outcome.text:
        return "refused without a sentence"
    return ""


@contextlib.contextmanager
def _watch_read(file: Path | None) -> Iterator[Callable[[], bool]]:
    """Whether a file has been read since, by its time of access, which Linux also notes of what Python does not open.

    The file stays open: it may be removed or replaced by what reads it.
    """
    if file is None:
        yield lambda: True
        return
    os.utime(file, (0, file.stat().st_mtime))
    with file.open("rb") as opened:
        yield lambda: os.fstat(opened.fileno()).st_atime > 0


def _work(commands: Sequence[Command], log: Path, root: Path, prepare: Prepare) -> None:
    """The commands one after another, each announced in the log before it starts."""
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + _MEMORY, resource.RLIM_INFINITY))
    signal.signal(signal.SIGPROF, _alarm)
    writes: list[str] = []
    _watch_writes(root, writes)
    with log.open("a") as lines:
        for name, arguments in commands:
            lines.write(json.dumps({"start": name}) + "\n")
            lines.flush()
            with _watch_read(prepare(name)) as is_read:
                outcome = call(name, arguments, writes)
                outcome.read = is_read()
            lines.write(json.dumps(asdict(outcome)) + "\n")
            lines.flush()


class _Worker:
    """A forked process with a share of the commands; where it dies or hangs, another goes on after that command."""

    def __init__(self, share: Sequence[Command], log: Path, root: Path, prepare: Prepare) -> None:
        self.share, self.log, self.root, self.prepare = list(share), log, root, prepare
        self.log.touch()
        self.start()

    def start(self) -> None:
        self.pid = os.fork()
        if self.pid == 0:
            try:
                _work(self.share, self.log, self.root, self.prepare)
            finally:
                os._exit(0)

    def stop(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)

    def runs(self) -> bool:
        """Whether the process, or one in its place, has commands left."""
        hangs = time.time() - self.log.stat().st_mtime > _PATIENCE
        if hangs:
            self.stop()
        elif not os.waitpid(self.pid, os.WNOHANG)[0]:
            return True
        entries = [json.loads(line) for line in self.log.read_text().splitlines()]
        if entries and "start" in entries[-1]:
            died = Outcome(entries[-1]["start"], fault="hangs" if hangs else "the process died")
            with self.log.open("a") as lines:
                lines.write(json.dumps(asdict(died)) + "\n")
        done = {entry["start"] for entry in entries if "start" in entry}
        self.share = [command for command in self.share if command[0] not in done]
        if self.share and done:
            self.start()
        return bool(self.share and done)

    def outcomes(self) -> Iterator[Outcome]:
        for line in self.log.read_text().splitlines():
            # The last line of a stopped process may be half a line.
            if line.endswith("}") and "start" not in (entry := json.loads(line)):
                yield Outcome(**entry)


def run_all(
    commands: Sequence[Command],
    root: Path,
    *,
    processes: int,
    seconds: float,
    prepare: Prepare = lambda _name: None,
) -> list[Outcome]:
    """The outcomes of commands, each with a name of its own; those that do not fit into the time are left out.

    `prepare` is called with the name before each command.
    """
    workers = [
        _Worker(commands[number::processes], root / f"outcomes-{number}.jsonl", root, prepare)
        for number in range(processes)
    ]
    running, end = workers, time.monotonic() + seconds
    while running and time.monotonic() < end:
        time.sleep(0.1)
        running = [worker for worker in running if worker.runs()]
    for worker in running:
        worker.stop()
    return [outcome for worker in workers for outcome in worker.outcomes()]


def report(outcomes: Sequence[Outcome], asked: int) -> int:
    """Print the counts and each kind of fault once; 1 where there is a fault."""
    faults = [outcome for outcome in outcomes if outcome.fault]
    codes = {code: sum(outcome.code == code for outcome in outcomes) for code in _CODES}
    counts = ", ".join(f"{count} with exit code {code}" for code, count in codes.items() if count)
    print(f"{len(outcomes)} of {asked} commands: {counts}; {len(faults)} faults")
    seen: dict[str, int] = {}
    for outcome in faults:
        seen[outcome.fault] = seen.get(outcome.fault, 0) + 1
        if seen[outcome.fault] == 1:
            print(f"  {outcome.name}\n    {outcome.fault}")
    for fault, count in seen.items():
        if count > 1:
            print(f"  {count} times: {fault}")
    return 1 if faults else 0


def enter(root: Path) -> None:
    """Make a folder the working directory, with caches of its own; called before Hugging Face is imported."""
    for name in ("home", "tmp"):
        (root / name).mkdir()
    os.environ.update(HOME=str(root / "home"), TMPDIR=str(root / "tmp"), HF_HOME=str(root / "home" / "hf"))
    tempfile.tempdir = str(root / "tmp")
    sys.dont_write_bytecode = True
    os.chdir(root)


class Campaign(Protocol):
    """A campaign in a folder of its own."""

    def __call__(
        self, root: Path, calls: int, seed: int, *, processes: int, seconds: float
    ) -> tuple[list[Outcome], int]:
        """The outcomes of its commands, and how many there are."""


def main(name: str, description: str | None, campaign: Campaign, calls: int) -> int:
    """Run the campaign of a command line and print its faults; `calls` commands, where it does not say how many."""
    parser = argparse.ArgumentParser(prog=f"scripts/torture {name}", description=description)
    parser.add_argument("--calls", type=int, default=calls, help="commands at most")
    parser.add_argument("--seed", type=int, default=0, help="of what is tried")
    parser.add_argument("--processes", type=int, default=usable_cores(), help="at the same time")
    parser.add_argument("--minutes", type=float, default=60, help="after which what is left is not tried")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="torture-") as folder:
        root = Path(folder).resolve()
        enter(root)
        outcomes, asked = campaign(root, args.calls, args.seed, processes=args.processes, seconds=60 * args.minutes)
        os.chdir("/")
        return report(outcomes, asked) or int(len(outcomes) < asked)
