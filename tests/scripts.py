"""Scripts as modules: called in the test's own process, each time as freshly imported."""

import importlib.util
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
