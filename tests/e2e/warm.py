"""A process that has imported everything once and runs each command in a fork of itself.

It reads one JSON line a command (``argv, code, cwd, env, out, err``) and answers with the exit code; ``code`` is a
program that is run in place of the command. What a command leaves in memory ends with its fork, as with a process of
its own; the seconds of importing torch and its like are paid once.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import pkgutil
import sys
import threading
import traceback
import warnings
from importlib import import_module

LIBRARIES = (
    "torch._dynamo",  # that optimisers load when the first one is made
    "torch.utils.serialization",
    "pandas",
    "pyarrow.dataset",
    "pyarrow.pandas_compat",
    "anndata",
    "h5py",
    "sklearn.ensemble",
    "sklearn.linear_model",
    "scipy.stats",
    "rdkit.Chem",
    "plotly.graph_objs._figure",
    "plotly.offline",
    "typer._adapters",
)
ROOMS = (
    "benchmarking",
    "cli",
    "data",
    "evaluate",
    "explain",
    "models",
    "nn",
    "plan",
    "report",
    "search",
    "tasks",
    "train",
)


def warm() -> None:
    """Import what most commands import."""
    for name in LIBRARIES:
        import_module(name)
    for room in ROOMS:
        module = import_module(f"galenic.{room}")
        for found in pkgutil.walk_packages(getattr(module, "__path__", []), f"{module.__name__}."):
            import_module(found.name)


def run(task: dict) -> None:
    """Become the command, and end as an interpreter does but for the second that it takes to let go of everything."""
    for number, name in ((0, os.devnull), (1, task["out"]), (2, task["err"])):
        file = os.open(name, os.O_RDWR | os.O_CREAT)
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(task["env"])
    os.chdir(task["cwd"])
    sys.argv = task["argv"]
    code = 0
    try:
        if task["code"] is None:
            import_module("galenic.cli.main").main()
        else:
            warnings.simplefilter("ignore")
            exec(compile(task["code"], "<string>", "exec"), {"__name__": "__main__"})
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def serve() -> None:
    """Run what is asked for until nobody asks any more."""
    warm()
    gc.freeze()  # so that no fork copies what it only counts
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            run(json.loads(line))
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    serve()
