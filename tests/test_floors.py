"""The house rules: imports point down the floors, nothing is executed from data or star-imported, the linter passes."""
import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# The rooms of the package, floor by floor from the bottom: a room imports from floors below its own and from itself. This tuple
# is the whole rule; DESIGN: each room is a stage of the method.
FLOORS = (
    ("config",),
    ("base",),
    ("data", "models"),
    ("scenes", "seeds", "inference"),
    ("evaluation", "report"),
    ("training", "figures"),
    ("export",),
    ("commands",),
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
WITHOUT_MXNET = ("config", "data", "scenes", "report")  # may not import runtime.py's mx, nor gluoncv, which imports MXNet
ONLY_IMPORT_OF_MXNET = "cian/base/runtime.py"
RESTRICTED_READERS = ("cian/data/pickled.py", "cian/models/torch_file.py")
PACKAGE = sorted((ROOT / "cian").rglob("*.py"))
TOOLS = sorted((ROOT / "tools").glob("*.py"))
OTHERS = [ROOT / "setup.py"] + sorted((ROOT / "experiments").glob("*.py")) + sorted((ROOT / "tests").rglob("*.py"))


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def room_of(path):
    """cian/data/voc.py -> "data"; None for what stands above all: cian/__init__.py, tools/train.py."""
    parts = path.relative_to(ROOT).parts
    return parts[1] if parts[0] == "cian" and len(parts) > 2 else None


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


def faults_of_imports(name, room, names):
    """What is wrong with the imports of a module: one line each. room: None for what stands above all rooms."""
    faults, floor = [], FLOOR.get(room, len(FLOORS))
    for target in sorted(names):
        parts = target.split(".")
        other = parts[1] if parts[0] == "cian" and len(parts) > 1 and parts[1] in FLOOR else room
        if target.startswith("."):
            faults.append(f"{name}: relative import {target}")
        elif parts[0] == "mxnet" and name != ONLY_IMPORT_OF_MXNET:
            faults.append(f"{name}: imports {target}; say `from cian.base.runtime import mx`")
        elif (parts[0] == "gluoncv" or target.startswith("cian.base.runtime")) and room in WITHOUT_MXNET:
            faults.append(f"{name}: room {room} imports {target}, and with it MXNet")
        elif parts[0] in ("tools", "tests", "experiments"):
            faults.append(f"{name}: imports {target}")
        elif other != room and FLOOR[other] >= floor:
            faults.append(f"{name}: room {room} on floor {floor} imports {target}, on floor {FLOOR[other]}")
        elif other != room and room == "models" and other == "config":
            faults.append(f"{name}: networks know neither data nor settings, but it imports {target}")
    return faults


def test_every_room_has_a_floor():
    rooms = {path.parent.name for path in (ROOT / "cian").glob("*/__init__.py")}
    assert sorted(rooms - set(FLOOR)) == []
    tested = {path.parent.name for path in (ROOT / "tests").glob("*/test_*.py")}
    assert sorted(tested - set(FLOOR) - {"experiments"}) == []  # the tests have the same rooms
    assert sorted(path.name for path in (ROOT / "cian").glob("*.py")) == ["__init__.py", "__main__.py"]  # all else has a room


@pytest.mark.parametrize("path", PACKAGE + TOOLS, ids=name_of)
def test_imports_point_down(path):
    names = imported(ast.parse(path.read_text(encoding="utf-8")))
    if room_of(path) == "commands":
        assert not any(name.startswith("cian.commands") for name in names), "a verb imports another verb"
    assert faults_of_imports(name_of(path), room_of(path), names) == []


@pytest.mark.parametrize("room, source", [
    ("base", "from cian.data.cams import load_cam"), ("seeds", "import mxnet as mx"), ("data", "import cian.base.runtime"),
    ("report", "from cian.base import runtime"), ("data", "import gluoncv"), ("models", "import cian.data.voc"),
    ("models", "def f():\n    from cian.config import PRESETS"), ("seeds", "from cian.inference.segmenter import crf"),
    ("training", "from cian.figures.sheet import sheet"), ("training", "from . import losses"),
    ("training", "from tools import train"), ("training", "from mxnet import nd"), ("export", "import cian.commands.train")])
def test_wrong_imports_are_found(room, source):
    assert faults_of_imports("x.py", room, imported(ast.parse(source)))


@pytest.mark.parametrize("room, source", [
    ("base", "from cian.config import PRESETS"), ("training", "from cian.seeds.classifiers import comnet"),
    ("models", "from cian.base.runtime import mx"), (None, "from cian.commands import train")])
def test_right_imports_pass(room, source):
    assert faults_of_imports("x.py", room, imported(ast.parse(source))) == []


def module_imports(module):
    """The cian modules that a module imports when it is itself imported, that is, at its top level."""
    path = ROOT.joinpath(*module.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    top = [node for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, (ast.Import, ast.ImportFrom))]
    names = {name for name in imported(ast.Module(top, [])) if name.split(".")[0] == "cian"}
    return {name for name in names if (ROOT.joinpath(*name.split(".")).with_suffix(".py")).is_file()}


def all_imports(module):
    """A module and all modules of this package that importing it brings along."""
    seen, todo = set(), [module]
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo.extend(module_imports(name))
    return seen


STARTERS = ("map_parallel", "stream_parallel", "submit", "delayed", "run_all", "partial", "add")  # what hands work to a process


def worker_modules(module, tree):
    """{function: module that holds it} of the functions that a module hands to worker processes."""
    origin = {node.name: module for node in tree.body if isinstance(node, ast.FunctionDef)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("cian"):
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                is_module = ROOT.joinpath(*inner.split(".")).with_suffix(".py").is_file()
                origin[alias.asname or alias.name] = inner if is_module else node.module
    found = {}
    for node in ast.walk(tree):
        called = getattr(node.func, "id", getattr(node.func, "attr", "")) if isinstance(node, ast.Call) else ""
        first = 1 if called == "add" else 0  # Beside.add(name, work)
        for work in node.args[first : first + 1] if called in STARTERS else ():
            base = work.value if isinstance(work, ast.Attribute) else work
            if isinstance(base, ast.Name) and base.id in origin and not base.id.endswith("_worker"):  # these bring a network
                found[ast.unparse(work) if hasattr(ast, "unparse") else base.id] = origin[base.id]
    return found


def test_worker_processes_do_not_load_mxnet():
    work = {}
    for path in PACKAGE:
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        if module != "cian.evaluation.matching_cost":  # measures MXNet in a process of its own
            work.update({(module, name): where for name, where in worker_modules(module, ast.parse(path.read_text())).items()})
    assert len(work) > 10 and "cian.inference.masks" in work.values() and "cian.seeds.seeds" in work.values()
    assert [key for key, where in work.items() if "cian.base.runtime" in all_imports(where)] == []
    assert "cian.base.runtime" in all_imports("cian.inference.segmenter")


def faults_of_calls(name, tree):
    """Calls that could execute what a file holds, and star imports: one line each."""
    faults = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names):
            faults.append(f"{name}:{node.lineno}: star import of {node.module}")
        if isinstance(node, (ast.Import, ast.ImportFrom)) and name not in RESTRICTED_READERS:
            modules = {alias.name for alias in node.names} | {getattr(node, "module", None)}
            if modules & {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve"}:
                faults.append(f"{name}:{node.lineno}: imports a pickle module")
        if isinstance(node, ast.Call):
            called = node.func.id if isinstance(node.func, ast.Name) else ""
            if called in ("eval", "exec", "compile", "__import__"):
                faults.append(f"{name}:{node.lineno}: calls {called}")
            for keyword in node.keywords:
                if (keyword.arg == "allow_pickle" and name not in RESTRICTED_READERS
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
