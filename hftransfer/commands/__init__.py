"""The commands, one file each: `add(commands)` registers a parser, `run(args)` does the work and returns the exit code.

They stand in `hftransfer --help` in the order of `ORDER`. Nothing here imports torch before a command runs.
"""

ORDER = (
    "new",
    "run",
    "check",
    "render",
    "update",
    "audit",
    "rank",
    "list",
    "doctor",
    "export",
    "predict",
    "demo",
    "bench",
    "report",
    "compare",
    "curve",
    "tune",
    "setup_optimum",
    "eject",
    "push",
    "reproduce",
    "completion",
)
