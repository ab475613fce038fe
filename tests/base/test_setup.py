"""Set-up: the requirement files, the choice of the GPU set, and what is checked before anything is downloaded."""
import os
import re
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest
from scripts import module_of

from cian.base.cuda import CUDA_LIBRARIES

ROOT = Path(__file__).resolve().parents[2]
LINUX = "Linux x86_64"
PIN = re.compile(r'^[A-Za-z0-9_.-]+==[A-Za-z0-9.]+(; python_version (<|>=) "3\.\d+")?$')


@pytest.fixture()
def check():
    """experiments/check_machine.py as a module; it is a script that runs before the package is installed."""
    return module_of("check_machine", "experiments")


def requirements(name):
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-cpu.txt"])
def test_every_requirement_is_pinned(name):
    assert [line for line in requirements(name) if not PIN.match(line)] == []


def test_the_sets_differ_in_mxnet_and_cuda_alone():
    gpu, cpu = set(requirements("requirements.txt")), set(requirements("requirements-cpu.txt"))
    assert cpu - gpu == {"mxnet==1.9.1"}
    assert gpu - cpu == {"mxnet-cu112==1.9.1"} | {f"{name}=={version}" for name, version, _, _ in CUDA_LIBRARIES}


def test_onnx_is_part_of_every_set_on_every_python():
    """So that its tests run wherever the set-up was made by experiments/setup.sh or from the extra `dev`."""
    for name in ("requirements.txt", "requirements-cpu.txt"):
        lines = requirements(name)
        assert "onnx==1.16.2" in lines and "onnxruntime==1.18.1" in lines


@pytest.mark.parametrize("capabilities, machine, wish, expected, word", [
    (None, LINUX, "", "requirements-cpu.txt", "no nvidia-smi"),
    ([], LINUX, "", "requirements-cpu.txt", "no GPU"),
    ([(3, 7)], LINUX, "", "requirements-cpu.txt", "3.7"),
    ([(5, 0)], LINUX, "", "requirements.txt", "5.0"),
    ([(8, 9)], LINUX, "", "requirements.txt", "8.9"),
    ([(9, 0)], LINUX, "", "requirements-cpu.txt", "5.0 to 8.9 only"),
    ([(12, 0)], LINUX, "", "requirements-cpu.txt", "12.0"),
    ([(9, 0), (7, 5)], LINUX, "", "requirements.txt", "9.0, 7.5"),
    ([(8, 0)], "Linux aarch64", "", "requirements-cpu.txt", "aarch64"),
    ([(9, 0), (7, 5)], LINUX, "", "requirements.txt", "only those of 5.0 to 8.9 can be used"),
    ([(9, 0)], LINUX, "", "requirements-cpu.txt", "CIAN_SET=system"),
    ([(9, 0)], LINUX, "system", "requirements-cpu.txt", "the installed MXNet"),
    ([(8, 0)], LINUX, "cpu", "requirements-cpu.txt", "CIAN_SET"),
    (None, LINUX, "gpu", "requirements.txt", "CIAN_SET")])
def test_choice_of_the_set(check, capabilities, machine, wish, expected, word):
    chosen, reason = check.choose_set(capabilities, machine, wish)
    assert chosen == expected and word in reason


def test_unknown_wish_is_an_error(check):
    with pytest.raises(ValueError, match="CIAN_SET=tpu: expected cpu, gpu, system"):
        check.choose_set(None, LINUX, "tpu")


@pytest.mark.parametrize("driver, expected", [("418.87.00", "requirements-cpu.txt"), ("450.80.02", "requirements.txt")])
def test_a_driver_that_is_too_old(check, driver, expected):
    chosen, reason = check.choose_set([(7, 5)], LINUX, "", driver)
    assert chosen == expected and ("CUDA 11 needs 450.80.02 or newer" in reason) == (expected == check.CPU_SET)


@pytest.mark.parametrize("source, found", [
    ("__version__ = '1.9.1.post1'", ("1.9.1.post1", "CUDA")), ("__version__ = '1.8.0'", "has MXNet 1.8.0, expected 1.9.1"),
    ("raise OSError('libcudart.so.11.0')", "cannot import mxnet .OSError: libcudart.so.11.0.*PYTHON=/path/to/python3")])
def test_the_installed_mxnet_is_asked(check, tmp_path, monkeypatch, source, found):
    features = "class runtime:\n    class Features:\n        def is_enabled(self, name):\n            return name == 'CUDA'\n"
    (tmp_path / "mxnet.py").write_text(features + source + "\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    if isinstance(found, tuple):
        assert check.system_mxnet() == found
        assert check.stamp(check.CPU_SET, found) != check.stamp(check.CPU_SET)
        return
    with pytest.raises(ValueError, match=found):
        check.system_mxnet()


def test_libraries_of_an_mxnet_that_is_there_are_its_own(check, monkeypatch):
    monkeypatch.setattr(check, "can_load", lambda library: False)
    monkeypatch.setattr(check.sys, "platform", "linux")
    lines = "\n".join(check.find_missing(check.GPU_SET))
    for library in ("libGL.so.1", "libgomp.so.1", "libquadmath.so.0", "libz.so.1"):
        assert f"{library}: not found" in lines
    lines = "\n".join(check.find_missing(check.CPU_SET, own_mxnet=False))
    assert "libGL.so.1: not found" in lines and "libgomp" not in lines and "libz" not in lines


@pytest.mark.parametrize("script, expected", [
    ("echo 8.6; echo 9.0", [(8, 6), (9, 0)]), ("echo ' 7.5 '", [(7, 5)]), ("exit 9", []), ("echo", []),
    ("echo 'Field \"compute_cap\" is not a valid field to query.'", [])])
def test_nvidia_smi_is_read(check, tmp_path, monkeypatch, script, expected):
    command = tmp_path / "nvidia-smi"
    command.write_text("#!/bin/sh\n" + script + "\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert check.gpu_capabilities() == expected


def test_without_nvidia_smi(check, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert check.gpu_capabilities() is None


def test_missing_things_are_named_with_their_cure(check, tmp_path, monkeypatch):
    apt = tmp_path / "apt-get"
    apt.write_text("#!/bin/sh\n")
    apt.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))  # no compiler
    monkeypatch.setattr(check, "headers_path", lambda: str(tmp_path / "Python.h"))
    monkeypatch.setattr(check, "can_load", lambda library: library != "libGL.so.1")
    monkeypatch.setattr(check.sys, "platform", "linux")
    monkeypatch.setattr(check.os, "geteuid", lambda: 1000)
    monkeypatch.setitem(sys.modules, "ensurepip", None)  # as on Debian without python3-venv
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.delenv("CXX", raising=False)
    version = "%d.%d" % sys.version_info[:2]
    headers, compiler, venv, library = check.find_missing()
    assert f"Python.h (pydensecrf is compiled): `sudo apt-get install -y python{version}-dev`" in headers
    assert compiler.startswith("C++ compiler") and compiler.endswith("`sudo apt-get install -y g++`")
    assert venv.startswith("Python's venv") and venv.endswith(f"`sudo apt-get install -y python{version}-venv`")
    assert library.startswith("libGL.so.1: not found") and library.endswith("`sudo apt-get install -y libgl1`")


def test_platform_without_a_wheel_is_named(check, monkeypatch):
    monkeypatch.setattr(check.platform, "machine", lambda: "riscv64")
    assert "no wheel for" in check.find_missing()[0] and "riscv64" in check.find_missing()[0]


def test_disk_space(check, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(check.shutil, "disk_usage", lambda folder: usage(0, 0, int(50e9)))
    assert check.find_full_disks(check.GPU_SET) == []
    monkeypatch.setattr(check.shutil, "disk_usage", lambda folder: usage(0, 0, int(0.2e9)))
    lines = check.find_full_disks(check.CPU_SET)
    assert lines and all("GB needed" in line and "0.2 GB free" in line for line in lines)


def test_stamp_tells_what_is_to_be_done(check, tmp_path, monkeypatch):
    for name in ("setup.py", check.CPU_SET):
        shutil.copy(str(ROOT / name), str(tmp_path / name))
    (tmp_path / "cian" / "inference" / "native").mkdir(parents=True)
    (tmp_path / "cian" / "inference" / "native" / "a.cpp").write_text("int a;\n")
    monkeypatch.setattr(check, "ROOT", tmp_path)
    first = check.stamp(check.CPU_SET)
    assert check.compare(first, check.stamp(check.CPU_SET)) == "ready"
    assert check.compare("", first) == "install"
    (tmp_path / "cian" / "inference" / "native" / "a.cpp").write_text("int b;\n")
    second = check.stamp(check.CPU_SET)
    assert check.compare(first, second) == "build"
    with (tmp_path / check.CPU_SET).open("a") as file:
        file.write("# another\n")
    assert check.compare(second, check.stamp(check.CPU_SET)) == "install"


@pytest.fixture()
def clone(tmp_path):
    """A copy of the set-up files in a folder with a space in its name."""
    root = tmp_path / "my clone"
    (root / "experiments").mkdir(parents=True)
    (root / "cian" / "base").mkdir(parents=True)
    for name in ("setup.py", "requirements.txt", "requirements-cpu.txt", "experiments/setup.sh",
                 "experiments/check_machine.py", "cian/base/cards.py"):
        shutil.copy(str(ROOT / name), str(root / name))
    return root


def run_setup(root, **variables):
    result = subprocess.run(["bash", str(root / "experiments" / "setup.sh")], cwd=str(root.parent), timeout=300,
                            env=dict(os.environ, **variables), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            universal_newlines=True)
    return result.returncode, result.stderr


def fake_python(folder, version):
    path = folder / "python3"
    path.write_text(f"#!/bin/sh\necho {version}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("version", ["3.13.1", "3.7.17", "2.7.18"])
def test_unsuitable_python_is_one_clear_line(clone, version):
    python = fake_python(clone, version)
    status, errors = run_setup(clone, PYTHON=str(python))
    assert status == 1
    assert errors == f"setup: PYTHON={python} is {version}; Python 3.8 to 3.12 is needed: set PYTHON to one\n"


def test_no_python_on_path_is_one_clear_line(clone):
    tools = clone / "bin"
    tools.mkdir()
    for name in ("bash", "dirname"):
        (tools / name).symlink_to(shutil.which(name))
    fake_python(tools, "3.13.0").chmod(0o755)
    status, errors = run_setup(clone, PATH=str(tools), PYTHON="")
    assert status == 1 and errors.count("\n") == 1
    assert "python3 is 3.13.0" in errors and "PYTHON=/path/to/python3.11" in errors


def test_foreign_environment_is_left_alone(clone):
    (clone / ".venv").mkdir()
    (clone / ".venv" / "mine").write_text("")
    status, errors = run_setup(clone, PYTHON=sys.executable)
    assert status == 1
    if "was not made by this script" not in errors:  # this machine lacks something, which is said first
        assert "setup: " in errors
    assert (clone / ".venv" / "mine").is_file()


def test_failed_install_leaves_no_stamp(clone):
    """pip may ask no package index: its last words are shown, and the next run would install again."""
    status, errors = run_setup(clone, PYTHON=sys.executable, PIP_NO_INDEX="1", PIP_CONFIG_FILE=os.devnull,
                               PIP_FIND_LINKS=str(clone.parent.name))
    assert status == 1
    if "pip failed" not in errors:
        pytest.skip("this machine cannot set up: " + errors)
    assert "ERROR: " in errors and "install.log" in errors
    assert "ERROR: Cannot install" in (clone / ".venv" / "install.log").read_text(encoding="utf-8")
    assert not (clone / ".venv" / "cian-stamp").exists()
