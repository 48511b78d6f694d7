"""The commands. Nothing here imports torch before a command needs it."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from hftransfer import __version__
from hftransfer.core import plugins
from hftransfer.core.errors import HFTransferError, HubError, RecipeError

_KINDS = ("tasks", "strategies", "sources", "samples", "exporters", "metrics")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns:
        The exit code: 0 done, 2 a mistake of the user's in a sentence on stderr, 3 an exported variant was rejected, or
        a run could not be reproduced.
    """
    parser = _parser()
    args, rest = parser.parse_known_args(arguments)
    # argparse takes positional arguments in one row only; overrides may stand behind an option too.
    if wrong := [word for word in rest if word.startswith("-") or "=" not in word or not hasattr(args, "overrides")]:
        parser.error(f"unrecognized arguments: {' '.join(wrong)}")
    if rest:
        args.overrides += rest
    try:
        return int(args.command(args))
    except HFTransferError as error:
        print(f"hftransfer: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        goes_on = "; the same command with --resume goes on" if hasattr(args, "resume") else ""
        print(f"\nhftransfer: interrupted{goes_on}", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="hftransfer", description="Transfer learning by one recipe.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    run = commands.add_parser("run", help="carry a recipe the whole way")
    run.add_argument("recipe", help="a YAML file, or hub:user/name for that of a pushed run")
    run.add_argument("overrides", nargs="*", metavar="key=value", help="for example strategy.r=16")
    run.add_argument("--out", type=Path, help="directory of the run (default: runs/ and the recipe's name)")
    _again(run)
    run.set_defaults(command=_run)

    check = commands.add_parser("check", help="find everything that can be wrong, in seconds, with no weights read")
    check.add_argument("recipe", help="a YAML file")
    check.add_argument("overrides", nargs="*", metavar="key=value")
    check.set_defaults(command=_check)

    names = commands.add_parser("list", help="tasks, strategies, sources, samples, exporters, metrics, recipes")
    names.add_argument("--schema", action="store_true", help="the JSON schema of recipes, for editors")
    names.set_defaults(command=_list)

    export = commands.add_parser("export", help="export a finished run anew")
    export.add_argument("run", type=Path, help="directory of a finished run")
    export.add_argument(
        "overrides", nargs="*", metavar="key=value", help="fields of `export:`, such as quantization=auto"
    )
    for name in ("format", "quantization", "max-drop"):
        export.add_argument(f"--{name}", help=f"the same as {name.replace('-', '_')}=...")
    export.set_defaults(command=_export)

    predict = commands.add_parser("predict", help="try a finished run on a line of text or a file")
    predict.add_argument("run", type=Path, help="directory of a finished run")
    predict.add_argument("input", nargs="+", help="a text (of a pair: both, a tab between), or a file's path")
    predict.add_argument("--variant", default="tuned", help="tuned, or an exported one such as onnx-int8")
    predict.set_defaults(command=_predict)

    bench = commands.add_parser("bench", help="time a finished run in PyTorch and exported, called in turns")
    bench.add_argument("run", type=Path, help="directory of a finished run")
    bench.add_argument("--batch", type=int, nargs="+", default=[1, 8, 32], help="batch sizes")
    bench.add_argument("--threads", type=int, nargs="+", default=[os.cpu_count() or 1], help="numbers of threads")
    bench.add_argument("--calls", type=int, default=50, help="timed calls of each variant at each batch size")
    bench.add_argument("--without", nargs="+", default=[], help="variants to leave out, such as pytorch-compile")
    bench.set_defaults(command=_bench)

    report = commands.add_parser("report", help="HTML and Markdown from finished runs, several of them compared")
    report.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    report.add_argument("--out", type=Path, default=Path("report.html"), help="the HTML file")
    report.set_defaults(command=_report)
    _hub_commands(commands)
    return parser


def _again(command: argparse.ArgumentParser) -> None:
    """What to do with what is there."""
    group = command.add_mutually_exclusive_group()
    group.add_argument("--resume", action="store_true", help="continue an unfinished run")
    group.add_argument("--overwrite", action="store_true", help="replace what is there")


def _hub_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    push = commands.add_parser("push", help="put a finished run on the Hub: model, card, exports, recipe, one commit")
    push.add_argument("run", type=Path, help="directory of a finished run")
    push.add_argument("--repo", help="user/name (default: the recipe's client.repo)")
    push.add_argument("--private", action="store_true", help="a new repository is seen by its owner alone")
    push.add_argument("--adapter", action="store_true", help="the PEFT adapter alone, not the merged model")
    push.add_argument("--force", action="store_true", help="replace what another run has put there")
    push.set_defaults(command=_push)

    reproduce = commands.add_parser("reproduce", help="repeat a pushed run and hold its scores against the card's")
    reproduce.add_argument("repo", help="user/name")
    reproduce.add_argument("overrides", nargs="*", metavar="key=value")
    reproduce.add_argument("--out", type=Path, help="directory of the run (default: runs/ and the repository's name)")
    _again(reproduce)
    reproduce.set_defaults(command=_reproduce)


def _run(args: argparse.Namespace) -> int:
    recipe = _read(args)
    out = args.out or Path("runs") / Path(args.recipe).stem
    from hftransfer.runner.pipeline import run

    code = _finished(run(recipe, out, resume=args.resume, overwrite=args.overwrite), out)
    from accelerate import PartialState

    if recipe.hub is not None and PartialState().is_main_process:
        from hftransfer.hub.push import push

        try:
            print(f"pushed: {push(out, recipe.hub.repo)}")
        except HubError as error:
            raise HubError(f"{error} (the run is finished: `hftransfer push {out}`)") from None
    return code


def _read(args: argparse.Namespace) -> "Recipe":  # type: ignore[name-defined]  # noqa: F821
    """The recipe of a file, or of a pushed run, which is not pushed again and runs no code of its own accord.

    Raises:
        RecipeError: a pushed recipe names a metric whose code lies on the Hub.
    """
    from hftransfer.recipe.loader import load_recipe, parse_recipe

    if not args.recipe.startswith("hub:"):
        return load_recipe(args.recipe, args.overrides)
    from hftransfer.hub import client

    harmless = ["hub=null", "model.trust_remote_code=false", *args.overrides]
    recipe = parse_recipe(client.recipe(args.recipe.removeprefix("hub:")), args.recipe, harmless)
    foreign = sorted(set(recipe.evaluation.metrics or []) - set(plugins.names("metrics")))
    if foreign and not any(it.startswith("evaluation.metrics=") for it in args.overrides):
        raise RecipeError(
            f"{args.recipe}: the metric '{foreign[0]}' is code of a repository, which somebody else's recipe may not "
            "run; give evaluation.metrics=[...] yourself"
        )
    return recipe


def _finished(result: "RunResult", out: Path) -> int:  # type: ignore[name-defined]  # noqa: F821
    from hftransfer.reporting.report import terminal

    print(f"\n{terminal(result)}\n\n{out}/report.html shows it; {out}/model/ is the model")
    return 3 if result.rejected() else 0


def _check(args: argparse.Namespace) -> int:
    recipe = _read(args)
    from hftransfer.runner.plan import check, describe

    print(describe(check(recipe)))
    return 0


def _list(args: argparse.Namespace) -> int:
    if args.schema:
        from hftransfer.recipe.schema import Recipe

        print(json.dumps(Recipe.json_schema(), indent=1))
        return 0
    from hftransfer.recipe import catalog

    for kind in _KINDS:
        print(f"{kind}:")
        for name in plugins.names(kind):
            print(f"  {name:<22} {plugins.summary(kind, name)}")
    recipes = catalog.packaged_recipes()
    width = max(map(len, recipes), default=0)
    print("recipes:")
    for name, path in recipes.items():
        print(f"  {name:<{width}} {catalog.summary(path)}")
    return 0


def _record(folder: Path) -> "RunResult":  # type: ignore[name-defined]  # noqa: F821
    """The result of a finished run."""
    from hftransfer.core.results import RunResult
    from hftransfer.core.run_folder import recover

    if folder.name:
        recover(folder)
    if not (folder / "result.json").is_file():
        runs = [str(p.parent) for p in folder.parent.glob("*/result.json")] if folder.parent.is_dir() else []
        raise RecipeError(f"'{folder}' is no finished run; {plugins.nearest(folder, runs)}")
    try:
        return RunResult.load(folder / "result.json")
    except ValueError:
        raise RecipeError(f"'{folder}/result.json' is not the record of a run") from None


def _export(args: argparse.Namespace) -> int:
    from hftransfer.recipe.loader import parse_export

    before = _record(args.run).recipe["export"]
    given = {name: getattr(args, name) for name in ("format", "quantization", "max_drop")}
    named = [f"{name}={value}" for name, value in given.items() if value is not None]
    settings = parse_export([*named, *args.overrides], before)
    from hftransfer.runner.pipeline import export

    return _finished(export(args.run, settings), args.run)


def _predict(args: argparse.Namespace) -> int:
    result = _record(args.run)
    from hftransfer.runner.predict import predictions

    for answer in predictions(args.run, result, args.input, args.variant):
        print(json.dumps(answer, ensure_ascii=False))
    return 0


def _push(args: argparse.Namespace) -> int:
    _record(args.run)
    from hftransfer.hub.push import push

    print(push(args.run, args.repo, private=args.private, adapter=args.adapter, force=args.force))
    return 0


def _reproduce(args: argparse.Namespace) -> int:
    from hftransfer.hub import client
    from hftransfer.reporting import report
    from hftransfer.runner.pipeline import run

    theirs = client.record(args.repo)
    args.recipe = f"hub:{args.repo}"
    out = args.out or Path("runs") / args.repo.rpartition("/")[2]
    mine = run(_read(args), out, resume=args.resume, overwrite=args.overwrite)
    table, agree = report.reproduced(theirs, mine)
    print(f"\n{table.text()}\n\n{'reproduced' if agree else 'NOT reproduced'}")
    return 0 if agree else 3


def _bench(args: argparse.Namespace) -> int:
    for name in ("batch", "threads", "calls"):
        values = getattr(args, name)
        if min(values if isinstance(values, list) else [values]) < 1:
            raise RecipeError(f"--{name}: at least 1, got {values}")
    _record(args.run)
    from hftransfer.reporting.plots import speeds
    from hftransfer.runner.benchmark import benchmark, table

    found = benchmark(args.run, args.batch, args.threads, args.calls, args.without)
    (args.run / "bench.png").write_bytes(speeds(found).png())
    print(f"\n{table(found).text()}\n\n{args.run}/bench.png shows it, {args.run}/bench.json has every call")
    return 0


def _report(args: argparse.Namespace) -> int:
    results = [_record(folder) for folder in args.runs]
    from hftransfer.core.run_folder import write_text
    from hftransfer.reporting import report

    if args.out.is_dir() or any(place.is_file() for place in args.out.parents):
        raise RecipeError(f"--out: '{args.out}' is to be a file, such as report.html, in a directory")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    write_text(args.out, report.html(results))
    print(report.markdown(results))
    print(f"{args.out} written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
