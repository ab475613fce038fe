"""Scripts as modules: called in the test's own process, each time as freshly imported."""

import functools
import importlib.util
import inspect
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def module_of(name, folder="cian/commands"):
    """FOLDER/NAME.py as a module; without a folder that of a verb."""
    spec = importlib.util.spec_from_file_location(f"tool_{name}", str(ROOT / folder / f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def tool(name, *arguments):
    """Run a verb; its exit status or None."""
    return module_of(name).main([str(argument) for argument in arguments])


def one_thread(test):
    """A test that needs a process with one OpenMP thread: in another process it starts one of its own."""

    @functools.wraps(test)
    def run(*arguments, **named):
        if os.environ.get("OMP_NUM_THREADS") == "1":
            return test(*arguments, **named)
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"{inspect.getfile(test)}::{test.__name__}"]
        result = subprocess.run(command, capture_output=True, text=True, timeout=600, env=dict(os.environ, OMP_NUM_THREADS="1"))
        assert result.returncode == 0 and "1 passed" in result.stdout, result.stdout[-2000:]
        return None

    return run
