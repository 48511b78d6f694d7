"""docs/performance.md: what a run costs beside what people write instead, by `scripts/bench peers`.

The commands of a pair are run in turns, on the same rows and one core, and compared by the CPU seconds of their whole
processes, since wall time depends on what else a machine does.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "performance.md"
MODEL, LENGTH_KEY = "sample:minilm", "task.max_length"
NEWS = "recipes/text/bbc_news-minilm-{}.yaml"
ALONE = ["export=null", "evaluation.baselines=[]"]
ONE_CORE = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}


@dataclass(frozen=True)
class Pair:
    """A run, and a script of the usual kind that does the same work."""

    work: str
    recipe: str
    overrides: list[str]
    peer: str
    """Name of a function below."""
    at_most: float
    """CPU seconds of the run for each of the peer's."""
    seeds: int = 1


PAIRS = [
    Pair(
        "Linear probe on 1,683 articles of at most 80 tokens, scored on 400; mean-pooled embeddings of "
        "sentence-transformers and scikit-learn's LogisticRegression, C chosen on validation",
        NEWS.format("linear_probe"), ALONE, "embeddings", 1.0,
    ),
    Pair(
        "Full fine-tuning, 120 articles of at most 128 tokens, 2 epochs, evaluated in each, scored on 400; the steps "
        "of the example script of Transformers: padding to the maximum, evaluation and checkpoint in each epoch",
        NEWS.format("full"),
        [*ALONE, "data.shots=24", "data.splits.validation=60", "data.splits.test=400", f"{LENGTH_KEY}=128",
         "training={num_train_epochs: 2, per_device_train_batch_size: 8}"],
        "example", 1.15,
    ),
    Pair(
        "few_shot with 8 articles a class of at most 32 tokens, scored on 400; setfit with its defaults, mean pooling",
        NEWS.format("full"),
        [*ALONE, "data.shots=8", "data.splits.validation=60", "data.splits.test=400", f"{LENGTH_KEY}=32",
         "strategy=few_shot", "training={}"],
        "setfit", 0.55, seeds=10,
    ),
    Pair(
        "The whole way: full fine-tuning on 80 articles of at most 80 tokens for 3 epochs, ONNX, dynamic int8, each "
        "scored on 400; the example script with batches padded to their longest, `optimum-cli export onnx`, "
        "`optimum-cli onnxruntime quantize` and a script that scores both, with Transformers 4.57",
        NEWS.format("full"),
        ["evaluation.baselines=[]", "data.shots=16", "data.splits.validation=60", "data.splits.test=400",
         f"{LENGTH_KEY}=80", "training={num_train_epochs: 3, per_device_train_batch_size: 16}",
         "export={format: onnx, quantization: dynamic-int8, max_drop: 1}"],
        "by_hand", 0.75,
    ),
]  # fmt: skip


def peers(*names: str) -> bool:
    """Run the pairs of these peers, or all, write the page, and say whether each ratio is as claimed.

    The rows of the other pairs stay as they are, where they were measured with the same versions.
    """
    if unknown := set(names) - {pair.peer for pair in PAIRS}:
        sys.exit(f"no peer {', '.join(sorted(unknown))}: {', '.join(pair.peer for pair in PAIRS)}")
    used = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "sentence-transformers", "setfit"))
    versions = f"Versions: {used}."
    before, title, section = PAGE.read_text(encoding="utf-8").partition("\n## Large data")
    if names and versions not in before:
        sys.exit("the rows of the other pairs were measured with other versions: measure all pairs")
    lines, all_hold = {line.split(" | ")[0]: line for line in before.splitlines() if line.startswith("| ")}, True
    for pair in PAIRS:
        if names and pair.peer not in names:
            continue
        ours, theirs = [], []
        for seed in range(pair.seeds):
            with tempfile.TemporaryDirectory() as folder:
                overrides = [*pair.overrides, f"seed={seed}"]
                rows = Path(folder) / "rows.json"
                dump = [sys.executable, __file__, "rows", pair.recipe, str(rows), *overrides]
                subprocess.run(dump, check=True, env=ONE_CORE, cwd=ROOT)
                out = Path(folder) / "run"
                seconds = _cpu_seconds(["hftransfer", "run", pair.recipe, *overrides, "--out", str(out)])
                result = json.loads((out / "result.json").read_text())
                ours.append((seconds, result["scores"]["test"]["tuned"]["accuracy"]["value"]))
                answer = Path(folder) / "peer.json"
                python = os.environ["HFTRANSFER_OPTIMUM_PYTHON"] if pair.peer == "by_hand" else sys.executable
                seconds = _cpu_seconds([python, __file__, pair.peer, str(rows), str(answer)])
                theirs.append((seconds, json.loads(answer.read_text())["accuracy"]))
                print(f"seed {seed}: hftransfer {ours[-1][0]:.1f} CPU s, {pair.peer} {seconds:.1f} CPU s", flush=True)
        ratio = statistics.mean(s for s, _ in ours) / statistics.mean(s for s, _ in theirs)
        holds = ratio <= pair.at_most
        all_hold &= holds
        print(f"{pair.work}: {ratio:.2f} (at most {pair.at_most}) {'ok' if holds else 'NOT REACHED'}")
        cells = [_means(ours, 0, ".1f"), _means(theirs, 0, ".1f"), f"**{ratio:.2f}**", f"{pair.at_most}",
                 _means(ours, 1, ".3f"), _means(theirs, 1, ".3f"), str(pair.seeds)]  # fmt: skip
        lines[f"| {pair.work}"] = f"| {pair.work} | {' | '.join(cells)} |"
    PAGE.write_text(
        "# Performance\n\n"
        "Written by `scripts/bench peers`: CPU seconds of whole processes on one core, imports, scoring, intervals, "
        "model card and report included; the commands of a pair run in turns on the same rows.\n\n"
        "| work; what it is compared with | hftransfer, CPU s | the other, CPU s | ratio | claimed: at most | "
        "accuracy | accuracy of the other | seeds |\n| --- | --- | --- | --- | --- | --- | --- | --- |\n"
        + "\n".join(lines[f"| {pair.work}"] for pair in PAIRS)
        + f"\n\n{versions}\n{title}{section}"
    )
    return all_hold


def _means(found: list[tuple[float, float]], place: int, form: str) -> str:
    return format(statistics.mean(entry[place] for entry in found), form)


def _cpu_seconds(command: list[str]) -> float:
    """User and system seconds of a command and its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, env=ONE_CORE, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def rows(recipe: str, out: str, *overrides: str) -> None:
    """Write the rows of a recipe, its checkpoint and what a peer needs of its settings."""
    from hftransfer.models.checkpoint import find_checkpoint
    from hftransfer.recipe.loader import load_recipe
    from hftransfer.runner.plan import check

    plan = check(load_recipe(recipe, list(overrides)))
    splits = {name: [split["text"][:], split["label"][:]] for name, split in plan.rows.splits.items()}
    facts = {"model": find_checkpoint(MODEL).path, "length": plan.task.max_length, "seed": plan.recipe.seed}
    facts |= {"training": plan.tuned.training, "classes": len(plan.task.labels)}
    Path(out).write_text(json.dumps(facts | splits))


def embeddings(facts: dict) -> float:
    """Accuracy of logistic regression on mean-pooled embeddings."""
    from sklearn.linear_model import LogisticRegression

    encoder = _sentence_encoder(facts)
    features = {name: encoder.encode(facts[name][0], batch_size=32) for name in ("train", "validation", "test")}
    fitted = [LogisticRegression(C=c, max_iter=1000).fit(features["train"], facts["train"][1]) for c in (1, 10, 100)]
    best = max(fitted, key=lambda it: it.score(features["validation"], facts["validation"][1]))
    return best.score(features["test"], facts["test"][1])


def _sentence_encoder(facts: dict):
    from sentence_transformers import SentenceTransformer, models

    words = models.Transformer(facts["model"], max_seq_length=facts["length"])
    pooling = models.Pooling(words.get_word_embedding_dimension())
    return SentenceTransformer(modules=[words, pooling, models.Normalize()], device="cpu")


def by_hand(facts: dict) -> float:
    """Accuracy of the int8 model that the example script and Optimum's commands make, in Optimum's environment."""
    command = str(Path(sys.executable).parent / "optimum-cli")
    with tempfile.TemporaryDirectory() as folder:
        model, onnx, int8 = (str(Path(folder) / name) for name in ("model", "onnx", "int8"))
        example(facts, model, pad=False)
        export = ["export", "onnx", "--model", model, "--task", "text-classification", onnx]
        quantize = ["onnxruntime", "quantize", "--onnx_model", onnx, "--avx512_vnni", "--per_channel", "-o", int8]
        for words in (export, quantize):
            subprocess.run([command, *words], check=True)
        score = [sys.executable, __file__, "onnx_accuracy"]
        scores = []
        for made in (onnx, int8):
            (Path(folder) / "facts.json").write_text(json.dumps(facts | {"onnx": made}))
            answer = Path(folder) / "answer.json"
            subprocess.run([*score, str(Path(folder) / "facts.json"), str(answer)], check=True)
            scores.append(json.loads(answer.read_text())["accuracy"])
    return scores[1]


def onnx_accuracy(facts: dict) -> float:
    """Accuracy of an ONNX model in ONNX Runtime, by Optimum's class."""
    from optimum.onnxruntime import ORTModelForSequenceClassification
    from transformers import AutoTokenizer

    folder = Path(facts["onnx"])
    (graph,) = folder.glob("*.onnx")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = ORTModelForSequenceClassification.from_pretrained(folder, file_name=graph.name)
    texts, labels = facts["test"]
    right = 0
    for start in range(0, len(texts), 32):
        batch = tokenizer(
            texts[start : start + 32], padding=True, truncation=True, max_length=facts["length"], return_tensors="pt"
        )
        predicted = model(**batch).logits.argmax(-1).tolist()
        right += sum(found == label for found, label in zip(predicted, labels[start : start + 32], strict=True))
    return right / len(texts)


def example(facts: dict, keep: str | None = None, *, pad: bool = True) -> float:
    """Accuracy by the steps of the example script for text classification; the model is kept in the folder `keep`."""
    import numpy as np
    from datasets import Dataset
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, Trainer, TrainingArguments, set_seed

    set_seed(facts["seed"])
    tokenizer = AutoTokenizer.from_pretrained(facts["model"])
    model = AutoModelForSequenceClassification.from_pretrained(facts["model"], num_labels=facts["classes"])
    encoded = {}
    for name in ("train", "validation", "test"):
        texts, labels = facts[name]
        split = Dataset.from_dict({"text": texts, "labels": labels})
        encoded[name] = split.map(
            lambda batch: tokenizer(
                batch["text"], padding="max_length" if pad else False, truncation=True, max_length=facts["length"]
            ),
            batched=True,
            remove_columns=["text"],
        )
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            num_train_epochs=facts["training"]["num_train_epochs"],
            learning_rate=facts["training"]["learning_rate"],
            per_device_train_batch_size=facts["training"]["per_device_train_batch_size"],
            per_device_eval_batch_size=32,
            eval_strategy="epoch",
            save_strategy="epoch",
            save_total_limit=2,
            report_to="none",
            use_cpu=True,
            seed=facts["seed"],
        )
        trainer = Trainer(
            model,
            arguments,
            train_dataset=encoded["train"],
            eval_dataset=encoded["validation"],
            processing_class=tokenizer,
        )
        trainer.train()
        trainer.save_model(keep)
        trainer.evaluate()
        predicted = trainer.predict(encoded["test"]).predictions.argmax(axis=1)
    return float(np.mean(predicted == np.array(facts["test"][1])))


def setfit(facts: dict) -> float:
    """Accuracy by setfit."""
    import numpy as np
    import torch
    from datasets import Dataset
    from setfit import SetFitModel, Trainer, TrainingArguments
    from sklearn.linear_model import LogisticRegression

    torch.manual_seed(facts["seed"])
    model = SetFitModel(model_body=_sentence_encoder(facts), model_head=LogisticRegression(max_iter=1000))
    texts, labels = facts["train"]
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder, batch_size=16, num_epochs=1, seed=facts["seed"], save_strategy="no", report_to="none",
            max_length=facts["length"],
        )  # fmt: skip
        trainer = Trainer(
            model=model, args=arguments, train_dataset=Dataset.from_dict({"text": texts, "label": labels})
        )
        trainer.train()
        predicted = np.array(model.predict(facts["test"][0]))
    return float(np.mean(predicted == np.array(facts["test"][1])))


if __name__ == "__main__":
    if sys.argv[1] == "rows":
        rows(*sys.argv[2:])
    else:
        score = globals()[sys.argv[1]](json.loads(Path(sys.argv[2]).read_text()))
        Path(sys.argv[3]).write_text(json.dumps({"accuracy": score}))
