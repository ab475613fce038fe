"""The house rules: imports point down the floors, nothing is executed from data or star-imported, the linter passes."""
import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# Floors of the package; a module in a folder stands on the folder's floor. Tools are floor 4.
FLOORS = (
    ("cian", "config", "cuda", "denormals", "files", "runtime"),
    ("data", "affinity_figure", "affinity_maps", "affinity_summary", "improvement", "mask_quality", "matching_figure",
     "barrier", "cam_labels", "crf", "crf_comparison", "figures", "metrics", "parallel", "paths",
     "refinement_figure", "report", "results", "runs",
     "saliency", "saliency_quality", "seed_quality", "seeds", "stages", "submission", "superpixels"),
    ("models", "boundary_loss", "losses"),
    ("activation", "affinity_pairs", "boundary", "classifiers", "cli", "complexity", "complexity_table", "engine", "export",
     "export_check", "export_comparison", "exported", "inference", "matching_cost", "matching_maps", "objectives",
     "onnx_export", "predictor", "random_walk", "refinement", "symbols", "training_tool"),
)
FLOOR = {name: number for number, names in enumerate(FLOORS) for name in names}
NOT_FOR_MODELS = ("data", "config")  # floor 2 knows neither data nor settings
ONLY_IMPORT_OF_MXNET = "cian/runtime.py"
RESTRICTED_READER = "cian/data/pickled.py"
PACKAGE = sorted((ROOT / "cian").rglob("*.py"))
TOOLS = sorted((ROOT / "tools").glob("*.py"))
OTHERS = [ROOT / "setup.py"] + sorted((ROOT / "experiments").glob("*.py")) + sorted((ROOT / "tests").glob("*.py"))


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def parts_of(path):
    """cian/data/voc.py -> "data", cian/seeds.py -> "seeds", cian/__init__.py -> "cian"."""
    parts = path.relative_to(ROOT / "cian").with_suffix("").parts
    return "cian" if parts == ("__init__",) else parts[0]


def imported(tree):
    """All modules a file imports, wherever the import stands, as dotted names; `from a import b` gives a and a.b."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            names.add(module)
            names.update(f"{module}.{alias.name}" for alias in node.names)
    return names


def faults_of_imports(name, part, names):
    """What is wrong with the imports of a module: one line each. part: its name in FLOOR, None for a tool."""
    faults = []
    floor = len(FLOORS) if part is None else FLOOR[part]
    for target in sorted(names):
        parts = target.split(".")
        if target.startswith("."):
            faults.append(f"{name}: relative import {target}")
        elif parts[0] == "mxnet" and name != ONLY_IMPORT_OF_MXNET:
            faults.append(f"{name}: imports {target}; say `from cian.runtime import mx`")
        elif (parts[0] == "gluoncv" or parts[:2] == ["cian", "runtime"]) and floor < 2:
            faults.append(f"{name}: floor {floor} imports {target}, and with it MXNet")
        elif parts[0] in ("tools", "tests", "experiments"):
            faults.append(f"{name}: imports {target}")
        elif parts[0] == "cian" and len(parts) > 1 and parts[1] in FLOOR:
            if FLOOR[parts[1]] > floor:
                faults.append(f"{name}: floor {floor} imports {target} of floor {FLOOR[parts[1]]}")
            if floor == 2 and parts[1] in NOT_FOR_MODELS:
                faults.append(f"{name}: networks and losses know neither data nor settings, but it imports {target}")
    return faults


def test_every_module_has_a_floor():
    assert sorted({parts_of(path) for path in PACKAGE} ^ set(FLOOR)) == []  # and no floor has a module that is gone


@pytest.mark.parametrize("path", PACKAGE + TOOLS, ids=name_of)
def test_imports_point_down(path):
    names = imported(ast.parse(path.read_text(encoding="utf-8")))
    siblings = {other.stem for other in TOOLS}
    if path in TOOLS:
        assert sorted(names & siblings) == [], "a tool imports another tool"
    assert faults_of_imports(name_of(path), None if path in TOOLS else parts_of(path), names) == []


@pytest.mark.parametrize("part, source", [
    ("files", "from cian.seeds import load_cam"), ("seeds", "import mxnet as mx"), ("seeds", "import cian.runtime"),
    ("data", "from cian import runtime"), ("data", "import gluoncv"), ("models", "import cian.data.voc"),
    ("models", "def f():\n    from cian.config import PRESETS"), ("losses", "from cian import engine"),
    ("engine", "from . import losses"), ("engine", "from tools import train"), ("engine", "from mxnet import nd")])
def test_wrong_imports_are_found(part, source):
    assert faults_of_imports("x.py", part, imported(ast.parse(source)))


def faults_of_calls(name, tree):
    """Calls that could execute what a file holds, and star imports: one line each."""
    faults = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names):
            faults.append(f"{name}:{node.lineno}: star import of {node.module}")
        if isinstance(node, (ast.Import, ast.ImportFrom)) and name != RESTRICTED_READER:
            modules = {alias.name for alias in node.names} | {getattr(node, "module", None)}
            if modules & {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve"}:
                faults.append(f"{name}:{node.lineno}: imports a pickle module")
        if isinstance(node, ast.Call):
            called = node.func.id if isinstance(node.func, ast.Name) else ""
            if called in ("eval", "exec", "compile", "__import__"):
                faults.append(f"{name}:{node.lineno}: calls {called}")
            for keyword in node.keywords:
                if (keyword.arg == "allow_pickle" and name != RESTRICTED_READER
                        and not (isinstance(keyword.value, ast.Constant) and keyword.value.value is False)):
                    faults.append(f"{name}:{node.lineno}: allow_pickle is not False")
    return faults


@pytest.mark.parametrize("path", PACKAGE + TOOLS + OTHERS, ids=name_of)
def test_nothing_is_executed_from_data(path):
    faults = faults_of_calls(name_of(path), ast.parse(path.read_text(encoding="utf-8")))
    if name_of(path).startswith("tests/"):  # tests make bad pickles, to see them refused
        faults = [fault for fault in faults if "pickle" not in fault]
    assert faults == []


@pytest.mark.parametrize("source", [
    "eval('1')", "exec('a = 1')", "from os import *", "import pickle", "from pickle import load",
    "np.load('a', allow_pickle=True)", "np.load('a', allow_pickle=flag)"])
def test_dangerous_calls_are_found(source):
    assert faults_of_calls("x.py", ast.parse(source))


@pytest.mark.parametrize("source", ["np.load('a', allow_pickle=False)", "network.eval()", "re.compile('a')"])
def test_harmless_calls_pass(source):
    assert faults_of_calls("x.py", ast.parse(source)) == []


def test_the_linter_passes():
    result = subprocess.run([sys.executable, "-m", "ruff", "check", "--no-cache", "--output-format",
                             "concise", str(ROOT)], stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, universal_newlines=True)
    assert result.returncode == 0, result.stdout[-3000:]
