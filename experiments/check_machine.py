"""What experiments/setup.sh asks before it downloads anything: CPU or GPU set, what is missing, is .venv current.

Runs on the interpreter that is to make .venv, with the standard library alone. Prints one line for the shell,
`ready|build|install REQUIREMENTS STAMP`; what a person should know goes to standard error, one line each.
Exit status 1: something is missing, and nothing was downloaded.
"""
import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CPU_SET, GPU_SET = "requirements-cpu.txt", "requirements.txt"
USABLE = ((5, 0), (8, 9))  # compute capabilities mxnet-cu112 has machine code for; it brings no PTX for newer ones
PLATFORMS = ("Linux x86_64", "Linux aarch64", "Darwin x86_64")  # what MXNet 1.9.1 has wheels for
# Measured, in GB and rounded up: what .venv takes, and what pip downloads (once to TMPDIR, once to its cache).
SIZES = {CPU_SET: (1.2, 0.5), GPU_SET: (5.7, 2.7)}
# By package manager: install command, and package names of headers, venv, compiler, libGL, GLib, OpenMP.
MANAGERS = {
    "apt-get": ("apt-get install -y", {"headers": "python{version}-dev", "venv": "python{version}-venv",
                                       "compiler": "g++", "libGL.so.1": "libgl1",
                                       "libgthread-2.0.so.0": "libglib2.0-0", "libgomp.so.1": "libgomp1"}),
    "dnf": ("dnf install -y", {"headers": "python{version}-devel", "venv": "python{version}", "compiler": "gcc-c++",
                               "libGL.so.1": "mesa-libGL", "libgthread-2.0.so.0": "glib2", "libgomp.so.1": "libgomp"}),
    "pacman": ("pacman -S --noconfirm", {"headers": "python", "venv": "python", "compiler": "gcc",
                                         "libGL.so.1": "libglvnd", "libgthread-2.0.so.0": "glib2",
                                         "libgomp.so.1": "gcc-libs"}),
}


def gpu_capabilities():
    """Compute capabilities nvidia-smi lists, [(major, minor), ...]; None without nvidia-smi, [] if it fails."""
    command = shutil.which("nvidia-smi")
    if not command:
        return None
    try:
        text = subprocess.run([command, "--query-gpu=compute_cap", "--format=csv,noheader"], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, timeout=60, check=True).stdout.decode()
        return [tuple(int(part) for part in line.strip().split(".")) for line in text.splitlines() if line.strip()]
    except (OSError, ValueError, subprocess.SubprocessError):
        return []


def choose_set(capabilities, machine, wish=""):
    """The requirements file for this machine and one line that says why.

    capabilities: as from `gpu_capabilities`; machine: such as "Linux x86_64"; wish: "cpu" or "gpu" overrules.
    """
    if wish not in ("", "cpu", "gpu"):
        raise ValueError("CIAN_SET=%s: expected cpu or gpu" % wish)
    if wish:
        return (GPU_SET if wish == "gpu" else CPU_SET), "%s set, as CIAN_SET says" % wish.upper()
    if capabilities is None:
        return CPU_SET, "no NVIDIA GPU (no nvidia-smi): CPU set"
    if machine != "Linux x86_64":
        return CPU_SET, "MXNet has no CUDA wheel for %s: CPU set" % machine
    if not capabilities:
        return CPU_SET, "nvidia-smi lists no GPU and its compute capability: CPU set (CIAN_SET=gpu overrules)"
    names = ", ".join("%d.%d" % capability for capability in capabilities)
    if any(USABLE[0] <= capability <= USABLE[1] for capability in capabilities):
        return GPU_SET, "NVIDIA GPU, compute capability %s: GPU set" % names
    return CPU_SET, ("NVIDIA GPU of compute capability %s: the mxnet-cu112 wheel has code for 5.0 to 8.9 only: CPU set"
                     % names)


def mend(thing):
    """The command that installs `thing`, in the words of the package manager found here."""
    for manager, (install, packages) in MANAGERS.items():
        if shutil.which(manager):
            sudo = "" if os.geteuid() == 0 else "sudo "
            return "`%s%s %s`" % (sudo, install, packages[thing].format(version="%d.%d" % sys.version_info[:2]))
    if sys.platform == "darwin" and thing == "compiler":
        return "`xcode-select --install`"
    return "install it, or name another Python: `PYTHON=/path/to/python3 bash experiments/quickstart.sh`"


def headers_path():
    """Where this Python's Python.h belongs."""
    return os.path.join(sysconfig.get_paths()["include"], "Python.h")


def can_load(library):
    """Whether the system's loader finds a shared library."""
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def find_missing():
    """One line for each thing that pip's step needs and that is not there, with the command that mends it."""
    lines = []
    machine = "%s %s" % (platform.system(), platform.machine())
    if machine not in PLATFORMS:
        lines.append("platform: MXNet 1.9.1 has no wheel for %s; it has for %s" % (machine, ", ".join(PLATFORMS)))
    headers = headers_path()
    if not os.path.isfile(headers):
        lines.append("Python headers: no %s (pydensecrf is compiled): %s" % (headers, mend("headers")))
    for variable in ("CC", "CXX"):  # what setuptools will call to compile and to link
        words = (os.environ.get(variable) or sysconfig.get_config_var(variable) or "c++").split()
        if not shutil.which(words[0]):
            lines.append("C++ compiler: no %s (pydensecrf is compiled): %s" % (words[0], mend("compiler")))
            break
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError as error:
        lines.append("Python's venv: %s: %s" % (error, mend("venv")))
    if sys.platform.startswith("linux"):
        for library, user in (("libGL.so.1", "OpenCV"), ("libgthread-2.0.so.0", "OpenCV"), ("libgomp.so.1", "MXNet")):
            if not can_load(library):
                lines.append("%s: not found (%s needs it): %s" % (library, user, mend(library)))
    return lines


def existing_parent(path):
    """The folder itself or the nearest one above it that exists."""
    path = Path(path)
    while not path.exists():
        path = path.parent
    return path


def find_full_disks(requirements):
    """One line for each disk without room for .venv, pip's temporary files or its cache."""
    installed, downloaded = SIZES[requirements]
    cache = os.environ.get("PIP_CACHE_DIR") or os.path.join(os.path.expanduser("~"), ".cache", "pip")
    needs = {}
    for folder, size in ((ROOT, installed), (tempfile.gettempdir(), downloaded), (cache, downloaded)):
        folder = existing_parent(folder)
        disk = needs.setdefault(folder.stat().st_dev, [folder, 0.0])
        disk[1] += size
    lines = []
    for folder, size in needs.values():
        free = shutil.disk_usage(str(folder)).free / 1e9
        if free < size:
            lines.append("disk space: %.1f GB needed on the disk of %s, %.1f GB free: make room (`df -h \"%s\"`)%s" % (
                size, folder, free, folder,
                "" if folder == ROOT else ", or name other folders: `TMPDIR=... PIP_CACHE_DIR=...`"))
    return lines


def stamp(requirements):
    """What .venv was made from, as one word: requirement file, interpreter and place; after a dot what is compiled."""
    installed = hashlib.sha256((ROOT / requirements).read_bytes())
    installed.update(repr((requirements, sys.base_prefix, sys.version, str(ROOT))).encode())
    built = hashlib.sha256()
    for path in [ROOT / "setup.py"] + sorted((ROOT / "cian" / "inference" / "native").glob("*")):
        built.update(path.read_bytes())
    return "%s.%s" % (installed.hexdigest(), built.hexdigest())


def compare(made, wanted):
    """What is to be done: "ready", "build" (this package only) or "install" (everything).

    made: the stamp of .venv as text, "" without one; wanted: as from `stamp`.
    """
    if made == wanted:
        return "ready"
    return "build" if made.split(".")[0] == wanted.split(".")[0] else "install"


def main():
    machine = "%s %s" % (platform.system(), platform.machine())
    try:
        requirements, reason = choose_set(gpu_capabilities(), machine, os.environ.get("CIAN_SET", ""))
    except ValueError as error:
        print("setup: %s" % error, file=sys.stderr)
        return 1
    wanted, made = stamp(requirements), ROOT / ".venv" / "cian-stamp"
    state = compare(made.read_text().strip() if made.is_file() else "", wanted)
    if state != "install":
        print(state, requirements, wanted)
        return 0
    missing = find_missing() + find_full_disks(requirements)
    for line in missing:
        print("setup: " + line, file=sys.stderr)
    if missing:
        return 1
    print("setup: Python %s; %s" % (platform.python_version(), reason), file=sys.stderr)
    print("install", requirements, wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
