"""The model card: what a user of a model has to know, and the metadata that the Hub reads."""

import re
from typing import Any

from hftransfer.core import plugins
from hftransfer.core.results import RunResult
from hftransfer.reporting.tables import (
    Table,
    amount,
    checkpoint,
    data_table,
    directed,
    gain_table,
    group_table,
    headlines,
    in_markdown,
    interval,
    portable,
    public,
    recipe_yaml,
    runtime_table,
    score_table,
    without_folders,
)

_EXAMPLES = {"text": "A text.", "words": "A text.", "image": "image.png", "audio": "speech.wav"}
# What `transformers.pipeline` calls that which each Auto class loads.
_ARGUMENTS = {
    "AutoTokenizer": ["tokenizer"],
    "AutoImageProcessor": ["image_processor"],
    "AutoFeatureExtractor": ["feature_extractor"],
    "AutoProcessor": ["tokenizer", "feature_extractor"],
}


def card(result: RunResult, repo: str | None = None, *, adapter: bool = False) -> str:
    """The model's README.md: metadata that the Hub reads, and what a user of the model has to know.

    `repo` is its id on the Hub, if it is known; `adapter` says that only the PEFT adapter lies there.
    """
    usage = _adapter_usage(result, repo) if adapter else _usage(result, repo)
    # The pictures lie beside the card on the Hub alone.
    sections = [_summary, _gain, *([_pictures] if repo else []), _training, _exports, _limits]
    body = "\n\n".join(filter(None, [*(section(result) for section in sections), usage, _reproduction(result, repo)]))
    return f"---\n{_metadata(result, adapter).to_yaml()}\n---\n\n{body}\n"


def _metadata(result: RunResult, adapter: bool) -> Any:
    from huggingface_hub import EvalResult, ModelCardData

    model, data, strategy = result.recipe["model"]["id"], result.recipe["data"], result.recipe["strategy"]["name"]
    data_id, data_name = _data_set(result)
    shipped = [result.recipe["export"]["format"]] if result.exports.keys() - result.rejected().keys() else []
    # A part of another split is no split that the data set itself knows.
    split = None if isinstance(data["splits"]["test"], int | float) else data["splits"]["test"] or "test"
    scores = result.scores["test"]["tuned"]
    results = [
        EvalResult(
            task_type=result.task,
            dataset_type=data_id,
            dataset_name=data_name,
            dataset_config=data["source"].get("config"),
            dataset_split=split,
            dataset_revision=result.revisions.get(data_id),
            metric_type=metric,
            metric_name=directed(metric, result),
            metric_value=score.value,
        )
        for metric, score in scores.items()
    ]
    # From scratch, only the architecture of the checkpoint is used: nothing derives from its weights.
    derived = model in result.revisions and strategy != "scratch"
    told = result.recipe.get("hub") or {}
    return ModelCardData(
        library_name="peft" if adapter else "transformers",
        license=told.get("license") or (result.hub_cards.get(model, {}).get("license") if derived else None),
        language=told.get("language") or _spoken(result, data_id),
        pipeline_tag=plugins.load("tasks", result.task).pretraining or result.task,
        tags=["hftransfer", strategy, *([] if adapter else shipped)],
        base_model=model if derived else None,
        base_model_relation=("adapter" if adapter else "finetune") if derived else None,
        widget=[{"text": text} for text in result.examples if public(result)] or None,
        datasets=[data_id] if data["source"]["name"] == "hub" else None,
        metrics=list(scores),
        model_name=result.name,
        eval_results=results,
    )


def _spoken(result: RunResult, data_id: str) -> list[str] | None:
    """The languages of the data set, where a model reads or hears them and its card names those of the config alone."""
    kinds = set(plugins.load("tasks", result.task).columns.values())
    codes: list[str] = result.hub_cards.get(data_id, {}).get("language", [])
    # Cards of many configs name the languages of all.
    return codes if 1 <= len(codes) <= 2 and kinds & {"text", "words", "audio"} else None


def _data_set(result: RunResult) -> tuple[str, str]:
    """Id and name of where the rows come from."""
    source = result.recipe["data"]["source"]
    return (source["id"], source["id"]) if "id" in source else (source["name"], f"local data ({source['name']})")


def _summary(result: RunResult) -> str:
    origin, table = in_markdown(checkpoint(result)), score_table(result)
    if commit := result.revisions.get(result.recipe["model"]["id"] or ""):
        origin = f"[{origin}](https://huggingface.co/{origin}) at commit `{commit}`"
    labels = result.data.labels
    shown = in_markdown(", ".join(labels[:10])) + (", ..." if len(labels) > 10 else "")
    classes = f" into {len(labels)} classes ({shown})" if labels else ""
    strategy, data, score = result.recipe["strategy"]["name"], _data_set(result)[1], headlines(result)["tuned"]
    return (
        f"# {in_markdown(result.name)}\n\nThis model does {result.task}{classes}. It starts from {origin}, trained by "
        f"the strategy `{strategy}` on {in_markdown(data)}. On {score.count:,} test rows its "
        f"{in_markdown(directed(result.headline, result))} is **{interval(score)}**. hftransfer made it from the one "
        "recipe below.\n\n"
        f"## Scores\n\n{in_markdown(table.title)}; the test split was scored once for each variant.\n\n"
        f"{table.markdown()}"
    )


def _gain(result: RunResult) -> str:
    """The tuned model against everything that is neither it nor made of it."""
    table = gain_table(result)
    return f"## What the transfer gained\n\n{table.title}.\n\n{table.markdown()}" if table.rows else ""


def _pictures(result: RunResult) -> str:
    names = [name for name in ("scores", "confusion") if name != "confusion" or result.confusion]
    return "\n\n".join(f"![{name}](report/{name}.png)" for name in names)


def _training(result: RunResult) -> str:
    strategy, arguments = without_folders(result.recipe["strategy"]), without_folders(result.recipe["training"])
    epochs = max((entry["epoch"] for entry in result.history.get("tuned", []) if "epoch" in entry), default=0)
    rows = [("strategy", strategy["name"])]
    rows += [(f"strategy.{key}", str(value)) for key, value in strategy.items() if key != "name"]
    rows += [(f"training.{key}", str(value)) for key, value in arguments.items()]
    rows += [("epochs trained", f"{epochs:g}"), ("parameters", f"{result.parameters['all']:,}")]
    rows += [("trained parameters", f"{result.parameters['trainable']:,}")]
    settings, data = Table("Training", ("setting", "value"), rows).markdown(), data_table(result).markdown()
    return f"## Training\n\n{settings}\n\n## Data\n\n{data}\n\nFingerprint of all rows: `{result.data.fingerprint}`"


def _exports(result: RunResult) -> str:
    rejected = [f"\n\n**{name} is rejected, not shipped**: {portable(why)}" for name, why in result.rejected().items()]
    return f"## Exported variants\n\n{runtime_table(result).markdown()}{''.join(rejected)}" if result.exports else ""


def _limits(result: RunResult) -> str:
    count = headlines(result)["tuned"].count
    classes = enumerate(zip(result.data.labels, result.confusion, strict=False))
    recalls = sorted((row[i] / sum(row), label, sum(row)) for i, (label, row) in classes if sum(row))
    weak = [f"{in_markdown(label)} (recall {r:.3f} on {rows:,} rows)" for r, label, rows in recalls[:3] if r < 1]
    lines = [f"The scores tell of {count:,} rows of this one data set, and nothing of rows that look different."]
    lines += [f"Weakest classes on the test split: {', '.join(weak)}."] if weak else []
    if groups := group_table(result).rows:
        worst, rows, score, *_ = groups[0]
        lines += [f"Worst of {len(groups)} groups: {in_markdown(worst)} ({result.headline} {score} on {rows} rows)."]
    lines += [f"**WARNING** {portable(line)}" for line in result.warnings]
    return "## Limits\n\n" + "\n".join(f"- {line}" for line in lines)


def _place(result: RunResult, repo: str | None) -> str:
    """The line that says where the model lies."""
    name = repo or f"OWNER/{re.sub(r'[^A-Za-z0-9._-]', '-', result.name)}"
    return f'repo = "{name}"  # the id on the Hub, or a local copy'


def _task(result: RunResult) -> Any:
    """The task with the fields that the run found."""
    kind = plugins.load("tasks", result.task)
    return kind.model_validate({key: it for key, it in result.recipe["task"].items() if key in kind.model_fields})


def _usage(result: RunResult, repo: str | None) -> str:
    task = _task(result)
    if task.pretraining:
        return _checkpoint_usage(task.auto_model, _place(result, repo))
    imports, opened, asked = task.usage or _piped(result, task)
    code = f"{imports}\n\n{_place(result, repo)}\n{opened}\n{asked}\nprint(answer)"
    text = f"## How to use it\n\n```python\n{code}\n```"
    shipped = [name for name in result.exports if name not in result.rejected()]
    if not shipped:
        return text
    runtime = shipped[-1].partition("-")[0]
    exporter = plugins.load("exporters", runtime)
    facts, arguments = result.exports[shipped[-1]], ", ".join(f"{it}=repo" for it in _ARGUMENTS[task.auto_processor])
    files = [(it, on_hub(shipped[-1], name)) for name in facts.files for it in _file_arguments(name)]
    named = "".join(f', {argument}="{name}"' for argument, name in files if name.endswith((".onnx", ".xml")))
    # Optimum's class lacks what the pipeline asks of it.
    patched = 'model.main_input_name = "input_values"\n' if facts.loader == "ORTModelForCTC" else ""
    piped = "" if task.usage else f'{patched}pipe = pipeline("{result.task}", model=model, {arguments})\n'
    code = (
        f"from {exporter.module} import {facts.loader}\n\n"
        f'model = {facts.loader}.from_pretrained(repo, subfolder="{runtime}"{named})\n{piped}{asked}\nprint(answer)'
    )
    told = f"{text}\n\nThen with what was exported (`pip install {exporter.package}`):\n\n```python\n{code}\n```"
    return told if runtime != "onnx" else told + _plain_usage(result, shipped[-1], facts.files, repo)


def _piped(result: RunResult, task: Any) -> tuple[str, str, str]:
    """How a snippet imports, opens and asks a pipeline."""
    example = next(_EXAMPLES[kind] for kind in task.columns.values() if kind in _EXAMPLES)
    imports, opened = "from transformers import pipeline", f'pipe = pipeline("{result.task}", model=repo)'
    if "audio" in task.columns.values():
        # Transformers itself would read the file with ffmpeg and resample it with torchaudio.
        resampled = "soxr.resample(samples.astype('float32'), rate, pipe.feature_extractor.sampling_rate)"
        asked = f'samples, rate = soundfile.read("{example}")\nanswer = pipe({resampled})'
        return f"import soundfile\nimport soxr\n{imports}", opened, asked
    outputs = {"regression": "none", "multi_label_classification": "sigmoid"}
    # It would guess otherwise what is done with the logits.
    function = outputs.get(result.recipe["task"].get("problem_type") or "")
    told = f', function_to_apply="{function}"' if function else ""
    given = task.example or f'"{example}"'
    return imports, opened, f"answer = pipe({given}{told})"


def _plain_usage(result: RunResult, variant: str, files: list[str], repo: str | None) -> str:
    """The same with the runtime alone; a local run has the model's files in one folder, the Hub has not."""
    plain = result.runtime_snippet
    if not plain:
        return ""
    imported, _, lines = plain.partition("\n\n")
    model = f"onnx/{on_hub(variant, files[0])}" if repo else files[0]
    place = 'Path(".")  # a local copy of the repository' if repo else f'Path("{variant}")  # in the run\'s folder'
    code = (
        "import json\nfrom pathlib import Path\n\nimport numpy as np\nimport onnxruntime\n"
        f"{imported}\n\nfolder = {place}\n"
        f'session = onnxruntime.InferenceSession(folder / "{model}")\n{lines}'
    )
    beside = "tokenizers" if "tokenizers" in plain else "pillow"
    return f"\n\nOr with the runtime alone (`pip install onnxruntime numpy {beside}`):\n\n```python\n{code}\n```"


def _checkpoint_usage(auto: str, place: str) -> str:
    code = f"from transformers import {auto}\n\n{place}\nmodel = {auto}.from_pretrained(repo)"
    return f"## How to use it\n\nAs `model.id` of a recipe, or:\n\n```python\n{code}\n```"


def on_hub(variant: str, file: str) -> str:
    """What an exported file is called in the repository's folder of its runtime; transformers.js looks for these."""
    if file.endswith(("_data", ".data")):
        # The graph beside it names it so.
        return file
    scheme, (stem, dot, ending) = variant.partition("-")[2], file.rpartition(".")
    named = {"": "", "int8": "_quantized", "int4": "_q4"}
    # Of the schemes in int8 one ships at a time.
    suffix = named.get(scheme.partition("-")[0], f"_{scheme}")
    return f"{stem}{suffix}{dot}{ending}"


def _file_arguments(file: str) -> list[str]:
    """What Optimum calls a file: a whole model, an encoder, or a merged decoder, which serves with and without past."""
    parts = {"encoder_": ["encoder_file_name"], "decoder_": ["decoder_file_name", "decoder_with_past_file_name"]}
    bare = file.removeprefix("openvino_")
    return next((names for start, names in parts.items() if bare.startswith(start)), ["file_name"])


def _adapter_usage(result: RunResult, repo: str | None) -> str:
    auto, base = result.auto_model or plugins.load("tasks", result.task).auto_model, result.recipe["model"]["id"]
    count = 1 if result.recipe["task"].get("problem_type") == "regression" else len(result.data.labels)
    labels = f", num_labels={count}, ignore_mismatched_sizes=True" if count else ""
    code = (
        f"from peft import PeftModel\nfrom transformers import {auto}\n\n{_place(result, repo)}\n"
        f'base = {auto}.from_pretrained("{base}", revision="{result.revisions[base]}"{labels})\n'
        "model = PeftModel.from_pretrained(base, repo)"
    )
    return f"## How to use it\n\n```python\n{code}\n```"


def _reproduction(result: RunResult, repo: str | None) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in result.versions.items())
    commits = "".join(f"- {in_markdown(name)} at `{commit}`\n" for name, commit in result.revisions.items())
    minutes = sum(result.seconds.values()) / 60
    energy = f", about {amount(sum(result.energy.values()))} Wh as CodeCarbon estimates it" if result.energy else ""
    command = f"hftransfer reproduce {repo}" if repo else "hftransfer run recipe.yaml"
    return (
        f"## How to reproduce it\n\n`{command}`, with this recipe (all defaults written out; local "
        f"checkpoints and absolute paths cut to their last component):\n\n````yaml\n{recipe_yaml(result)}````\n\n"
        f"{commits}- {versions}\n- {in_markdown(result.hardware)}: {minutes:.1f} minutes{energy}"
    )
