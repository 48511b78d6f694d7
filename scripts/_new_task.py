"""The skeleton of a task, a copy of _task_template.py under the task's name; run by `scripts/new-task`."""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent
_TEMPLATE = Path(__file__).parent / "_task_template.py"
_NAME = "[a-z][a-z0-9]*(-[a-z0-9]+)*"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the file; the exit code is 2 where the name or the place does not do."""
    parser = argparse.ArgumentParser(prog="scripts/new-task", description="Write the skeleton of a task.")
    parser.add_argument("name", help="as the Hub writes task names: lower case, with hyphens, such as depth-estimation")
    parser.add_argument("--plugins", type=Path, metavar="DIR", help="write DIR/tasks/NAME.py, not hftransfer/tasks/")
    args = parser.parse_args(arguments)
    if not re.fullmatch(_NAME, args.name):
        parser.error(f"'{args.name}' is not a task's name: lower case, with hyphens, such as depth-estimation")
    file = (args.plugins or ROOT / "hftransfer") / "tasks" / f"{args.name.replace('-', '_')}.py"
    if file.exists():
        parser.error(f"{file} exists")
    file.parent.mkdir(parents=True, exist_ok=True)
    class_name = "".join(part.capitalize() for part in args.name.split("-"))
    file.write_text(_TEMPLATE.read_text(encoding="utf-8").replace("NewTask", class_name), encoding="utf-8")
    option = f" --plugins {args.plugins}" if args.plugins else ""
    print(f"{file}\n`hftransfer list{option}` shows it; CONTRIBUTING.md says what to change")
    return 0


if __name__ == "__main__":
    sys.exit(main())
