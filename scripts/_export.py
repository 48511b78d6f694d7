"""docs/export.md: exports of every task compared with PyTorch, the quantization search, latency; by `scripts/bench`.

A run that is there is not run again, so that a stopped bench goes on where it was. Two run side by side, each on one
core; what is timed for the page is timed afterwards, alone.
"""

import json
import shutil
import statistics
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from _families import LIMIT, families
from _strategies import MNIST, ONE_CORE, ROOT, pretrain

from hftransfer.core import machine
from hftransfer.core.machine import usable_cores
from hftransfer.core.results import RunResult
from hftransfer.reporting.tables import Table, amount, interval, number, search_table

RUNS = ROOT / "runs" / "export"
PAGE = ROOT / "docs" / "export.md"
SHORT = ["training.max_steps=60", "training.eval_strategy=no", "training.save_strategy=no"]
PLAIN = ["evaluation.baselines=[]", "training.save_strategy=no", "training.eval_strategy=no"]
# Name -> recipe and overrides. What is exported need not be good, and so most train for a minute.
TASKS = {
    "token-classification": ("text/bbc_tags-minilm-full.yaml", [*PLAIN, *SHORT, "export.max_drop=1"]),
    "fill-mask": ("text/bbc_news-minilm-fill_mask.yaml", [*SHORT, "export={format: onnx, max_drop: 1}"]),
    "text-generation": ("text/bbc_news-gpt2_tiny-scratch.yaml", [*SHORT, "export.max_drop=100"]),
    "translation": ("text/django_messages-t5_tiny-scratch.yaml", [*PLAIN, *SHORT, "export.max_drop=100"]),
    "question-answering": ("text/bbc_questions-minilm-full.yaml", [*PLAIN, *SHORT, "export.max_drop=1"]),
    "image-segmentation": ("vision/digit_scenes-segformer_tiny-scratch.yaml", [*PLAIN, *SHORT, "export.max_drop=1"]),
    "object-detection": ("vision/digit_scenes-yolos_tiny-full.yaml", [*PLAIN, *SHORT, "export.max_drop=1"]),
    "image-to-text, TrOCR": ("vision/rendered_lines-trocr_tiny-scratch.yaml", [*PLAIN, *SHORT, "export.max_drop=1"]),
    "audio-classification, AST": ("speech/espeak_words-ast_tiny-scratch.yaml", [*PLAIN, *SHORT]),
    "CTC, wav2vec2": ("speech/espeak_digits-wav2vec2_tiny-scratch.yaml", [*SHORT, "export.max_drop=1"]),
    "generation, Whisper": ("speech/espeak_digits-whisper_tiny-scratch.yaml", [*SHORT, "export.max_drop=1"]),
}
AUTO = "export={format: onnx, quantization: auto}"
WAV2VEC2 = "speech/espeak_words-wav2vec2_tiny-scratch.yaml"
SEARCHES = {
    "MiniLM on BBC News": ("text/bbc_news-minilm-full.yaml", [*PLAIN, "task.max_length=128", AUTO]),
    "ViT on digits": ("vision/digits-vit_tiny-full.yaml", [*PLAIN, f"model.id={MNIST}", AUTO]),
    "ResNet on digits": ("vision/digits-resnet_tiny-scratch.yaml", PLAIN),
    "MobileNetV2 on digits": ("vision/digits-mobilenet_v2-scratch.yaml", PLAIN),
    "wav2vec2 on spoken words": (WAV2VEC2, [*PLAIN, AUTO]),
}
ENDS = {"ResNet on digits": "int8-static", "MobileNetV2 on digits": "int8-static"}
# Name -> a run from above, exported once more.
OPENVINO = {
    f"{name}, OpenVINO": (name, ["--format", "openvino", "--quantization", "auto"])
    for name in ("MiniLM on BBC News", "ViT on digits", "ResNet on digits")
}
PLANTED = {
    f"{name}, everything in int8": (name, ["--quantization", "static-int8", "operators=all"])
    for name in ("MiniLM on BBC News", "fill-mask", "ViT on digits", "audio-classification, AST")
}
# Every task by the other runtime.
OTHER = {f"{name}, OpenVINO": (name, ["--format", "openvino", "max_drop=100"]) for name in TASKS}
# Times PyTorch at batch 1, and times smaller, that a search is to reach.
CLAIMS = {"MiniLM on BBC News": (1.8, 3.5), "ViT on digits": (1.3, 1.0)}


def export() -> bool:
    """Run what is missing, write the page, and say whether what is claimed holds."""
    pretrain()
    asked = SEARCHES | TASKS
    with ThreadPoolExecutor(usable_cores()) as pool:
        found = dict(zip(asked, pool.map(lambda name: _result(name, *asked[name]), asked), strict=True))
        again = OPENVINO | PLANTED | OTHER
        found |= zip(again, pool.map(lambda name: _again(name, *again[name]), again), strict=True)
    speeds = {name: _speeds(name) for name in (*CLAIMS, *OPENVINO)}
    claims = [line for name in CLAIMS for line in _claims(name, found[name], speeds[name])]
    claims += [_kept(name, found[name]) for name in (*SEARCHES, *OPENVINO)]
    claims += [_rejected(name, found[name]) for name in PLANTED]
    table, equal = families(RUNS / "families.json")
    claims.append((f"largest difference of {len(table.rows)} families over four shapes, at most {LIMIT}", equal))
    summary = "\n".join(f"- {line}: **{'yes' if holds else 'NO'}**" for line, holds in claims)
    searches = [f"### {name}\n\n{search_table(found[name]).markdown()}" for name in (*SEARCHES, *OPENVINO)]
    times = [f"### {name}\n\n{Table('', HEAD, rows).markdown()}" for name, rows in speeds.items()]
    PAGE.write_text(
        "# Exports compared\n\n"
        "Written by `scripts/bench export`: real runs on samples that install with pip. Most are trained for a minute, "
        "since a model need not be good to be compared with its export. Articles are truncated to 128 tokens. In the "
        "search, each candidate and the plain export are timed in turns on one core. 'Everything in int8' is "
        "`quantization: static-int8, operators: all`, which also quantizes sums, softmax and LayerNorm of a "
        "transformer: a variant that loses more than `max_drop` by it has to be rejected.\n\n"
        f"{summary}\n\n## Every task\n\nEach export compared with PyTorch on the test rows.\n\n"
        f"{_equal(found).markdown()}\n\n"
        "## Quantization search\n\n`export.quantization: auto`, on the validation rows.\n\n" + "\n\n".join(searches)
        + "\n\n## Latency\n\n`hftransfer bench`: all variants called in turns, batches of one row, nothing else "
        "running.\n\n"
        + "\n\n".join(times)
        + _families_section(table)
    )  # fmt: skip
    for line, holds in claims:
        print(f"{line}: {'ok' if holds else 'NOT REACHED'}")
    return all(holds for _, holds in claims)


_FAMILIES = "\n\n## Families of models\n\n"


def _families_section(table: Table) -> str:
    versions = machine.versions()
    used = ", ".join(f"{name} {versions[name]}" for name in ("torch", "transformers", "onnxruntime", "openvino"))
    return (
        f"{_FAMILIES}Models with random weights and two or three layers, exported by Transformers ({used}): the "
        "largest difference of an output to PyTorch's over four shapes (the example's, batches of one and of five, a "
        "batch of three with another length or image size where the model takes one). Texts and the recordings of "
        "'wav2vec2, padded' have padding. It shows that the mechanics are right, and says nothing of accuracy. "
        f"RT-DETR and D-FINE are exported by Optimum.\n\n{table.markdown()}\n"
    )


def families_alone() -> bool:
    """Measure the families that are missing, and write their table into the page."""
    table, equal = families(RUNS / "families.json")
    PAGE.write_text(PAGE.read_text().partition(_FAMILIES)[0].rstrip("\n") + _families_section(table))
    return equal


HEAD = ("variant", "threads", "p50 ms", "p95 ms", "speed-up over PyTorch")


def _folder(name: str) -> Path:
    return RUNS / "".join(c if c.isalnum() else "-" for c in name)


def _result(name: str, recipe: str, overrides: list[str]) -> RunResult:
    out = _folder(name)
    if not (out / "result.json").is_file():
        command = ["hftransfer", "run", str(ROOT / "recipes" / recipe), *overrides, "--out", str(out), "--overwrite"]
        # 3: a variant was rejected, which the page reports.
        code = subprocess.run(command, check=False, env=ONE_CORE).returncode
        assert code in (0, 3), code
    return RunResult.load(out / "result.json")


def _again(name: str, source: str, arguments: list[str]) -> RunResult:
    """A copy of a run, exported otherwise."""
    out, partial = _folder(name), _folder(name).with_suffix(".partial")
    if not out.is_dir():
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(_folder(source), partial, ignore=shutil.ignore_patterns("bench.*"))
        command = ["hftransfer", "export", str(partial), "max_drop=0.01", *arguments]
        code = subprocess.run(command, check=False, env=ONE_CORE).returncode
        assert code == (3 if RunResult.load(partial / "result.json").rejected() else 0), code
        partial.rename(out)
    return RunResult.load(out / "result.json")


def _speeds(name: str) -> list[tuple[str, ...]]:
    out = _folder(name)
    if not (out / "bench.json").is_file():
        command = ["hftransfer", "bench", str(out), "--batch", "1", "--threads", "1", "2", "--calls", "100"]
        subprocess.run(command, check=True)
    found = [it for it in json.loads((out / "bench.json").read_text()) if it["milliseconds"]]
    plain = {it["threads"]: statistics.median(it["milliseconds"]) for it in found if it["variant"] == "pytorch"}
    rows = []
    for it in found:
        p50, p95 = statistics.median(it["milliseconds"]), statistics.quantiles(it["milliseconds"], n=20)[-1]
        ratio = plain[it["threads"]] / p50
        rows.append((it["variant"], str(it["threads"]), amount(p50), amount(p95), f"{ratio:.2f}"))
    return rows


def _equal(found: dict[str, RunResult]) -> Table:
    rows = []
    for name, result in found.items():
        for variant, facts in result.exports.items():
            drop = interval(facts.drop) if facts.drop else ""
            verdict = "rejected" if facts.rejected else "accepted"
            score = number(result.scores["test"][variant][result.headline].value)
            size = amount(facts.bytes / 1e6)
            near = (f"{facts.agreement:.2%}", f"{facts.max_abs_diff:.2g}")
            rows.append((name, variant, f"{result.headline} {score}", drop, *near, size, verdict))
    head = ("task", "variant", "score", "drop", "agreement", "largest difference", "MB", "verdict")
    return Table("", head, rows)


def _claims(name: str, result: RunResult, speeds: list[tuple[str, ...]]) -> list[tuple[str, bool]]:
    faster, smaller = CLAIMS[name]
    best = next(scheme for scheme, it in result.search.items() if it.reason is None)
    variant = "onnx" if best == "fp32" else f"onnx-{best}"
    ratios = {row[1]: float(row[4]) for row in speeds if row[0] == variant}
    size = result.pytorch.bytes / result.exports[variant].bytes
    lines = [
        (f"{name}: {variant} is {ratio:.2f} times as fast as PyTorch on {threads} threads, at least {faster}",
         ratio >= faster)
        for threads, ratio in ratios.items()
    ]  # fmt: skip
    return [*lines, (f"{name}: {size:.2f} times smaller, at least {smaller}", size >= smaller)]


def _rejected(name: str, result: RunResult) -> tuple[str, bool]:
    """What a bad quantization loses, and whether it is rejected where that is too much."""
    (facts,) = (facts for variant, facts in result.exports.items() if variant != "onnx")
    assert facts.drop is not None
    verdict = "rejected, exit code 3" if facts.rejected else "accepted"
    holds = (facts.drop.value > 0.01) == bool(facts.rejected)
    return f"{name}: loses {facts.drop.value:.4f} of {result.headline}, {verdict}", holds


def _kept(name: str, result: RunResult) -> tuple[str, bool]:
    best = next((scheme for scheme, it in result.search.items() if it.reason is None), "nothing")
    lost = {variant: facts.drop.value for variant, facts in result.exports.items() if facts.drop}
    losses = ", ".join(f"{variant} {value:.4f}" for variant, value in lost.items())
    wanted = f", expected {ENDS[name]}" if name in ENDS else ""
    holds = not result.rejected() and ENDS.get(name, best) == best
    return f"{name}: the search selects {best}{wanted}; lost on test: {losses}", holds
