"""Python code run with Optimum, in the environment that has it: this one, or that of the worker."""

import json
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import numpy as np

from hftransfer.exporters import _optimum

_LOOP = """
import contextlib, io, json, sys, traceback, warnings
warnings.simplefilter("ignore")
answers, sys.stdout = sys.stdout, io.StringIO()
for line in sys.stdin:
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            names = {}
            for code in json.loads(line):
                exec(code, names)
        answer = [True, printed.getvalue()]
    except Exception:
        answer = [False, traceback.format_exc()]
    print(json.dumps(answer), file=answers, flush=True)
"""


@cache
def _shell():
    """One process for all tests of this one, since its imports take seconds."""
    command = [_optimum.python(), "-c", _LOOP]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )


def run(*snippets: str) -> str:
    """What pieces of code print, run one after another with the same names."""
    shell = _shell()
    try:
        print(json.dumps(snippets), file=shell.stdin, flush=True)
        succeeded, printed = json.loads(shell.stdout.readline())
    except BaseException:
        # The answer to a test that was stopped would be read by the next one.
        shell.kill()
        _shell.cache_clear()
        raise
    assert succeeded, printed
    return printed


_LOADED = """
import json, numpy as np, {module} as runtimes
model = runtimes.{loader}.from_pretrained({folder!r}{options})
inputs = dict(np.load({inputs!r}))
outputs = model(**inputs)
print(json.dumps({{name: np.asarray(outputs[name]).tolist() for name in {names!r}}}))
"""


def inputs_of(model) -> dict[str, np.ndarray]:
    """Three rows for an exported tiny model."""
    ids = {"input_ids": 1, "attention_mask": 1, "token_type_ids": 0}
    inputs = {name: np.full((3, 9), number, "int64") for name, number in ids.items() if name in model.inputs}
    shapes = {"pixel_values": (3, 3, 16, 16), "input_values": (3, 4000)}
    for name in shapes.keys() & model.inputs.keys():
        inputs[name] = np.random.default_rng(0).standard_normal(shapes[name]).astype("float32")
    return inputs


def assert_loads(exporter, folder: Path, loader: str) -> None:
    """A class of Optimum loads the single graph in a folder, and answers as it does in its runtime alone."""
    model = exporter.open(folder, 1)
    inputs = inputs_of(model)
    outputs = model(**inputs)
    names = [name for name in outputs if name.endswith(("logits", "last_hidden_state"))]
    with tempfile.TemporaryDirectory() as place:
        file = str(Path(place) / "inputs.npz")
        np.savez(file, **inputs)
        options = exporter.loader_options("")
        code = _LOADED.format(
            module=exporter.module, loader=loader, folder=str(folder), options=options, inputs=file, names=names
        )
        theirs = json.loads(run(code))
    assert names
    for name in names:
        np.testing.assert_allclose(theirs[name], outputs[name].numpy(), atol=1e-4)
