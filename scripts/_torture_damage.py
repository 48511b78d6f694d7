"""`scripts/torture damage`: commands over files of every kind that are cut, empty, overwritten or gone."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from _torture_calls import Command, Outcome, main, run_all

ROWS = [{"text": f"{'good' if row % 2 else 'bad'} text {row}", "label": "xy"[row % 2]} for row in range(48)]
TEXT = (
    "task: text-classification\nmodel:\n  processor: 'sample:minilm'\n  config: {model_type: bert, hidden_size: 16,\n"
    "    num_hidden_layers: 1, num_attention_heads: 2, intermediate_size: 16, vocab_size: 30522}\n"
    "data: {source: {name: csv, train: rows.csv}}\nstrategy: scratch\n"
    "training: {max_steps: 6, save_strategy: steps, save_steps: 2, use_cpu: true}\nevaluation: {resamples: 10}\n"
)
IMAGES = (
    "task: image-classification\nmodel:\n  config: {model_type: vit, hidden_size: 16, num_hidden_layers: 1,\n"
    "    num_attention_heads: 2, intermediate_size: 16, image_size: 32, patch_size: 8}\n"
    "data: {source: {name: imagefolder, path: .}}\nstrategy: scratch\n"
)
SOUNDS = (
    "task: audio-classification\nmodel:\n  config: {model_type: wav2vec2, hidden_size: 16, num_hidden_layers: 1,\n"
    "    num_attention_heads: 2, intermediate_size: 16, conv_dim: [16, 16], conv_stride: [5, 2],\n"
    "    conv_kernel: [10, 3], num_feat_extract_layers: 2}\n"
    "data: {source: {name: audiofolder, path: .}}\nstrategy: scratch\n"
)
# A file cut in its middle that these readers take must be mentioned; of lines of text, nobody can see that some lack.
WITHOUT_LENGTH = (".csv", ".tsv", ".jsonl", ".txt")
COMMANDS = {
    "predict": ["predict", "run", "good text"],
    "report": ["report", "run"],
    "resume": ["run", "text.yaml", "--out", "run", "--resume"],
}


def damages(draw: random.Random) -> dict[str, Callable[[bytes], bytes | None]]:
    """Name -> what becomes of a file's bytes; None: the file is removed."""

    def flipped(data: bytes) -> bytes:
        changed = bytearray(data)
        for _ in range(20 if data else 0):
            changed[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        return bytes(changed)

    return {
        "cut": lambda data: data[: len(data) // 2],
        "empty": lambda _: b"",
        "short": lambda data: data[:-8],
        "flipped": flipped,
        "zeros": lambda data: bytes(len(data)),
        "noise": lambda data: draw.randbytes(len(data)),
        "braces": lambda _: b"{}",
        "null": lambda _: b"null",
        "list": lambda _: b"[]",
        "gone": lambda _: None,
    }


def make_tables(folder: Path) -> None:
    """The rows in every format of tables."""
    import pandas

    table = io.StringIO()
    writer = csv.DictWriter(table, ["text", "label"])
    writer.writeheader()
    writer.writerows(ROWS)
    (folder / "rows.csv").write_text(table.getvalue())
    (folder / "rows.csv.gz").write_bytes(gzip.compress(table.getvalue().encode()))
    (folder / "rows.tsv").write_text(table.getvalue().replace(",", "\t"))
    (folder / "rows.json").write_text(json.dumps(ROWS))
    (folder / "rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in ROWS))
    pandas.DataFrame(ROWS).to_parquet(folder / "rows.parquet")
    (folder / "text.yaml").write_text(TEXT)


def make_media(folder: Path) -> None:
    """Two folders of pictures of each format, and of recordings; the first file of each will be damaged."""
    import soundfile
    from PIL import Image

    noise = np.random.default_rng(0)
    for kind in ("png", "jpg", "gif", "tif", "webp", "bmp", "wav", "flac", "ogg"):
        for number in range(40):
            file = folder / kind / "ab"[number % 2] / f"{number}.{kind}"
            file.parent.mkdir(parents=True, exist_ok=True)
            if kind in ("wav", "flac", "ogg"):
                soundfile.write(file, noise.normal(0, 0.1, 4000), 16000)
            else:
                Image.fromarray(noise.integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(file)
        text = SOUNDS if kind in ("wav", "flac", "ogg") else IMAGES
        (folder / kind / "media.yaml").write_text(text)


def make_runs(folder: Path) -> None:
    """A finished run with its predictions, and one that was killed after its second checkpoint."""
    from hftransfer import cli

    for name in ("finished", "unfinished"):
        place = folder / name
        place.mkdir()
        make_tables(place)
        os.chdir(place)
        child = os.fork()
        if child == 0:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1)
            os.dup2(null, 2)
            os._exit(cli.main(["run", "text.yaml", "--out", "run"]))
        if name == "unfinished":
            while not list(place.glob("run.partial/**/checkpoint-4/complete")) and not (place / "run").is_dir():
                time.sleep(0.01)
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def cases(originals: Path) -> Iterator[tuple[str, str, list[str]]]:
    """Folder, the file in it that is damaged, and the command."""
    for file in sorted(path.name for path in (originals / "tables").glob("rows.*")):
        loader = {"tsv": "csv", "jsonl": "json", "gz": "csv"}.get(file.rpartition(".")[2], file.rpartition(".")[2])
        yield "tables", file, ["check", "text.yaml", f"data.source={{name: {loader}, train: {file}}}"]
    for folder in sorted((originals / "media").glob("*")):
        file = f"a/0.{folder.name}"
        yield f"media/{folder.name}", file, ["check", "media.yaml"]
        yield f"media/{folder.name}", file, ["check", "media.yaml", "data.on_error=skip"]
    run = originals / "runs" / "finished" / "run"
    for file in sorted(path.relative_to(run.parent).as_posix() for path in run.rglob("*") if path.is_file()):
        for command in COMMANDS.values():
            yield "runs/finished", file, command
        if file.startswith("run/model/"):
            yield "runs/finished", file, ["check", "text.yaml", "model={id: run/model}", "strategy=full"]
    left = originals / "runs" / "unfinished" / "run.partial"
    for file in sorted(path.relative_to(left.parent).as_posix() for path in left.rglob("*") if path.is_file()):
        yield "runs/unfinished", file, COMMANDS["resume"]


MAKERS: dict[str, Callable[[Path], None]] = {"tables": make_tables, "media": make_media, "runs": make_runs}


def damage(
    root: Path, calls: int, seed: int, *, processes: int, seconds: float, kinds: Sequence[str] = tuple(MAKERS)
) -> tuple[list[Outcome], int]:
    """The outcomes of the campaign in a sandbox, and the number of its commands."""
    originals = root / "originals"
    for name in kinds:
        (originals / name).mkdir(parents=True)
        MAKERS[name](originals / name)
    draw = random.Random(seed)
    ways = damages(draw)
    chosen: dict[str, tuple[str, str, str]] = {}
    asked: list[Command] = []
    for folder, file, command in cases(originals):
        for way in ways:
            label = f"{way}: {folder}/{file}: {' '.join(command)}"
            chosen[label] = (folder, file, way)
            asked.append((label, command))
    draw.shuffle(asked)

    def prepare(label: str) -> Path | None:
        folder, file, way = chosen[label]
        place = root / f"work-{os.getpid()}"
        os.chdir(root)
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(originals / folder, place)
        os.chdir(place)
        data, damaged = ways[way](Path(file).read_bytes()), Path(file)
        damaged.unlink()
        if data is None:
            return None
        damaged.write_bytes(data)
        return damaged

    asked = asked[:calls]
    outcomes = run_all(asked, root, processes=processes, seconds=seconds, prepare=prepare)
    cut = [(outcome, Path(chosen[outcome.name][1])) for outcome in outcomes if chosen[outcome.name][2] == "cut"]
    for outcome, file in cut:
        if outcome.read and outcome.code == 0 and not outcome.fault and _is_silent(outcome, file):
            outcome.fault = f"a {file.suffix} file cut short is taken without a word"
    unread = sorted({file.name for outcome, file in cut if not outcome.read})
    print(f"{len(cut)} files cut short, {sum(outcome.read for outcome, _ in cut)} of them read by their commands")
    print(f"not read by one that was tried: {', '.join(unread) or 'none'}")
    return outcomes, len(asked)


def _is_silent(outcome: Outcome, file: Path) -> bool:
    """Whether a command that has read the file does not mention it, though it could see that it is cut."""
    mentioned = file.name.removesuffix(".sha256") in outcome.text or "left out" in outcome.text
    return file.suffix not in WITHOUT_LENGTH and not mentioned


if __name__ == "__main__":
    # All of them, unless fewer are asked for.
    sys.exit(main("damage", __doc__, damage, 10**6))
