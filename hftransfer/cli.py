"""The command line. Nothing here imports torch before a command needs it."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hftransfer import __version__
from hftransfer.core import plugins
from hftransfer.core.disk import full_disk_explained
from hftransfer.core.errors import HFTransferError, RecipeError, without_secrets
from hftransfer.core.progress import hide_library_bars
from hftransfer.core.ranks import leave_main_to_speak, main_prints
from hftransfer.core.termination import Terminated, explain, handled_sigterm

if TYPE_CHECKING:
    from hftransfer.core.results import RunResult

# What a shell reports of a command that a closed pipe has stopped: 128 + SIGPIPE.
_CLOSED_PIPE = 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns:
        The exit code: 0 success, 2 a mistake of the user's, explained in one sentence on stderr, 3 an exported variant
        was rejected or a run could not be reproduced.
    """
    parser = _parser()
    args, rest = parser.parse_known_args(arguments)
    # argparse accepts positional arguments only in one group; overrides may follow an option too.
    if wrong := [word for word in rest if word.startswith("-") or "=" not in word or not hasattr(args, "overrides")]:
        parser.error(without_secrets(f"unrecognized arguments: {' '.join(wrong)}"))
    if rest:
        args.overrides += rest
    hide_library_bars()
    try:
        for folder in args.plugins:
            plugins.add_folder(folder)
        with handled_sigterm(), full_disk_explained(), main_prints():
            code = int(args.command(args))
        sys.stdout.flush()
    except HFTransferError as error:
        leave_main_to_speak()
        print(f"hftransfer: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # `hftransfer list | head`: what is still buffered would fail once more when Python exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _CLOSED_PIPE
    except (KeyboardInterrupt, Terminated) as end:
        return explain(end, resumable=hasattr(args, "resume"))
    return code


def _parser() -> argparse.ArgumentParser:
    description = "Transfer learning by recipe: fine-tune, score, export and publish a Hugging Face checkpoint."
    parser = argparse.ArgumentParser(prog="hftransfer", description=description)
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _recipe_commands(commands)
    _run_commands(commands)
    _hub_commands(commands)
    for command in commands.choices.values():
        command.add_argument(
            "--plugins",
            type=Path,
            metavar="DIR",
            action="append",
            default=[],
            help="a folder with plug-ins of your own, in tasks/, strategies/, metrics/ ...; may be repeated",
        )
    return parser


def _recipe_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    recipe = "a YAML file, the name of a packaged recipe (quickstart), or hub:user/name for that of a pushed run"
    run = commands.add_parser("run", help="train, score, export and document what a recipe describes")
    run.add_argument("recipe", help=recipe)
    run.add_argument("overrides", nargs="*", metavar="key=value", help="fields to change, such as strategy.r=16")
    run.add_argument("--out", type=Path, help="directory of the run (default: runs/ and the recipe's name)")
    _existing_run(run)
    run.set_defaults(command=_run)

    check = commands.add_parser("check", help="find the mistakes in a recipe and its data, in seconds")
    check.add_argument("recipe", help=recipe)
    check.add_argument("overrides", nargs="*", metavar="key=value", help="fields to change, such as strategy.r=16")
    check.set_defaults(command=_check)

    names = commands.add_parser("list", help="list all plug-ins (tasks, strategies, metrics ...) and packaged recipes")
    names.add_argument("--schema", action="store_true", help="print the JSON schema of recipes instead, for editors")
    names.set_defaults(command=_list)


def _run_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    export = commands.add_parser("export", help="export a finished run again, with other settings")
    export.add_argument("run", type=Path, help="directory of a finished run")
    export.add_argument(
        "overrides", nargs="*", metavar="key=value", help="fields of `export:`, such as quantization=auto"
    )
    for name in ("format", "quantization", "max-drop"):
        export.add_argument(f"--{name}", help=f"the same as {name.replace('-', '_')}=...")
    export.set_defaults(command=_export)

    predict = commands.add_parser("predict", help="apply a finished run to texts or files")
    predict.add_argument("run", type=Path, help="directory of a finished run")
    predict.add_argument("input", nargs="+", help="a text (of a pair: both, separated by a tab), or a file's path")
    predict.add_argument("--variant", default="tuned", help="tuned, or an exported variant such as onnx-int8")
    predict.add_argument(
        "--abstain",
        type=float,
        metavar="P",
        help="give no label where the probability that it is right is lower than this, such as 0.95",
    )
    predict.set_defaults(command=_predict)

    bench = commands.add_parser("bench", help="measure the latency of a finished run in PyTorch and exported")
    bench.add_argument("run", type=Path, help="directory of a finished run")
    bench.add_argument("--batch", type=int, nargs="+", default=[1, 8, 32], help="batch sizes")
    bench.add_argument("--threads", type=int, nargs="+", default=[os.cpu_count() or 1], help="numbers of threads")
    bench.add_argument("--calls", type=int, default=50, help="timed calls of each variant at each batch size")
    bench.add_argument("--without", nargs="+", default=[], help="variants to leave out, such as pytorch-compile")
    bench.set_defaults(command=_bench)

    report = commands.add_parser("report", help="write an HTML page of a finished run, or compare several")
    report.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="directories of finished runs")
    report.add_argument("--out", type=Path, default=Path("report.html"), help="the HTML file")
    report.set_defaults(command=_report)


def _existing_run(command: argparse.ArgumentParser) -> None:
    """What to do with a run that is already in the directory."""
    group = command.add_mutually_exclusive_group()
    group.add_argument("--resume", action="store_true", help="continue an unfinished run")
    group.add_argument("--overwrite", action="store_true", help="replace a finished or unfinished run")


def _hub_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    setup = commands.add_parser("setup-optimum", help="make the environment of Optimum, for models that generate")
    setup.add_argument("--python", help="the Python that it is made of (default: the one that runs this)")
    setup.set_defaults(command=_setup_optimum)

    push = commands.add_parser("push", help="upload a finished run to the Hub: model, card, exports, recipe")
    push.add_argument("run", type=Path, help="directory of a finished run")
    push.add_argument("--repo", help="user/name (default: hub.repo of the recipe)")
    push.add_argument("--private", action="store_true", help="make a new repository private")
    push.add_argument("--adapter", action="store_true", help="upload the PEFT adapter alone, not the merged model")
    push.add_argument("--force", action="store_true", help="replace what another run has uploaded")
    push.set_defaults(command=_push)

    reproduce = commands.add_parser("reproduce", help="repeat a pushed run and compare its scores with the card's")
    reproduce.add_argument("repo", help="user/name")
    reproduce.add_argument("overrides", nargs="*", metavar="key=value", help="fields to change, such as seed=1")
    reproduce.add_argument("--out", type=Path, help="directory of the run (default: runs/ and the repository's name)")
    _existing_run(reproduce)
    reproduce.set_defaults(command=_reproduce)


def _setup_optimum(args: argparse.Namespace) -> int:
    from hftransfer.exporters import _optimum

    print(f"making {_optimum.environment()}, about 1 GB (a few minutes) ...", file=sys.stderr)
    print(_optimum.setup(args.python or sys.executable))
    return 0


def _run(args: argparse.Namespace) -> int:
    from hftransfer import api
    from hftransfer.runner.pipeline import run

    recipe = api.read_recipe(args.recipe, args.overrides)
    out = args.out or api.default_folder(args.recipe)
    code = _finished(run(recipe, out, resume=args.resume, overwrite=args.overwrite), out)
    if (address := api.push_finished(recipe, out)) is not None:
        print(f"pushed: {address}")
    return code


def _finished(result: "RunResult", out: Path) -> int:
    from hftransfer.reporting.report import terminal

    print(f"\n{terminal(result)}\n\nreport: {out}/report.html, model: {out}/model/")
    return 3 if result.rejected() else 0


def _check(args: argparse.Namespace) -> int:
    from hftransfer import api
    from hftransfer.core.garbage import without_garbage_collection

    with without_garbage_collection():
        print(api.check(args.recipe, args.overrides))
    return 0


def _list(args: argparse.Namespace) -> int:
    if args.schema:
        from hftransfer.recipe.schema import Recipe

        print(json.dumps(Recipe.json_schema(), indent=1))
        return 0
    from hftransfer.recipe import catalog

    for kind in plugins.KINDS:
        print(f"{kind}:")
        for name in plugins.names(kind):
            print(f"  {name:<22} {plugins.summary(kind, name)}")
    recipes = catalog.packaged_recipes()
    width = max(map(len, recipes), default=0)
    print("recipes:")
    for name, path in recipes.items():
        print(f"  {name:<{width}} {catalog.summary(path)}")
    return 0


def _export(args: argparse.Namespace) -> int:
    from hftransfer.api import finished_run
    from hftransfer.recipe.loader import parse_export

    before = finished_run(args.run).recipe["export"]
    given = {name: getattr(args, name) for name in ("format", "quantization", "max_drop")}
    named = [f"{name}={value}" for name, value in given.items() if value is not None]
    settings = parse_export([*named, *args.overrides], before)
    from hftransfer.runner.pipeline import export

    return _finished(export(args.run, settings), args.run)


def _predict(args: argparse.Namespace) -> int:
    from hftransfer.api import finished_run
    from hftransfer.runner.predict import predictions

    for answer in predictions(args.run, finished_run(args.run), args.input, args.variant, args.abstain):
        print(json.dumps(answer, ensure_ascii=False))
    return 0


def _push(args: argparse.Namespace) -> int:
    from hftransfer.api import finished_run
    from hftransfer.hub.push import push

    finished_run(args.run)
    print(push(args.run, args.repo, private=args.private, adapter=args.adapter, force=args.force))
    return 0


def _reproduce(args: argparse.Namespace) -> int:
    from hftransfer import api
    from hftransfer.hub import client
    from hftransfer.reporting import report
    from hftransfer.runner.pipeline import run

    pushed, name = client.read_result(args.repo), f"hub:{args.repo}"
    out = args.out or api.default_folder(name)
    repeated = run(api.read_recipe(name, args.overrides), out, resume=args.resume, overwrite=args.overwrite)
    table, agree = report.reproduced(pushed, repeated)
    print(f"\n{table.text()}\n\n{'reproduced' if agree else 'NOT reproduced'}")
    return 0 if agree else 3


def _bench(args: argparse.Namespace) -> int:
    for name in ("batch", "threads", "calls"):
        values = getattr(args, name)
        if not all(1 <= value <= 10**5 for value in (values if isinstance(values, list) else [values])):
            raise RecipeError(f"--{name}: at least 1 and at most 100,000, got {values}")
    from hftransfer.api import finished_run
    from hftransfer.reporting.plots import latency_plot
    from hftransfer.runner.benchmark import benchmark, table

    finished_run(args.run)
    timings = benchmark(args.run, args.batch, args.threads, args.calls, args.without)
    (args.run / "bench.png").write_bytes(latency_plot(timings).png())
    print(f"\n{table(timings).text()}\n\nplot: {args.run}/bench.png, all timed calls: {args.run}/bench.json")
    return 0


def _report(args: argparse.Namespace) -> int:
    from hftransfer.api import finished_run
    from hftransfer.core.files import write_text
    from hftransfer.reporting import report

    results = [finished_run(folder) for folder in args.runs]
    if args.out.is_dir() or any(place.is_file() for place in args.out.parents):
        raise RecipeError(f"--out: '{args.out}' should be a file, such as report.html")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    write_text(args.out, report.html(results))
    print(report.markdown(results))
    print(f"{args.out} written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
