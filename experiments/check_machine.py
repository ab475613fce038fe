"""What experiments/setup.sh asks before it downloads anything: CPU or GPU set, what is missing, is .venv current.

Runs on the interpreter that is to make .venv, with the standard library alone. Prints one line for the shell,
`ready|build|install REQUIREMENTS STAMP`; what a person should know goes to standard error, one line each.
Exit status 1: something is missing, and nothing was downloaded.
"""
import ctypes
import hashlib
import importlib.util
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
SETS = {"cpu": CPU_SET, "gpu": GPU_SET, "system": CPU_SET}  # system: the MXNet that is there, and the CPU set without its own
WHOSE = "import mxnet; print(mxnet.__version__, 'CUDA' if mxnet.runtime.Features().is_enabled('CUDA') else 'CPU')"
PLATFORMS = ("Linux x86_64", "Linux aarch64", "Darwin x86_64")  # what MXNet 1.9.1 has wheels for
# Measured, in GB and rounded up: what .venv takes, and what pip downloads (once to TMPDIR, once to its cache).
SIZES = {CPU_SET: (1.2, 0.5), GPU_SET: (5.7, 2.7)}
# By package manager: install command, and package names of headers, venv, compiler, libGL, GLib, OpenMP.
MANAGERS = {
    "apt-get": ("apt-get install -y", {"headers": "python{version}-dev", "venv": "python{version}-venv",
                                       "compiler": "g++", "libGL.so.1": "libgl1",
                                       "libgthread-2.0.so.0": "libglib2.0-0", "libgomp.so.1": "libgomp1",
                                       "libquadmath.so.0": "libquadmath0", "libz.so.1": "zlib1g"}),
    "dnf": ("dnf install -y", {"headers": "python{version}-devel", "venv": "python{version}", "compiler": "gcc-c++",
                               "libGL.so.1": "mesa-libGL", "libgthread-2.0.so.0": "glib2", "libgomp.so.1": "libgomp",
                               "libquadmath.so.0": "libquadmath", "libz.so.1": "zlib"}),
    "pacman": ("pacman -S --noconfirm", {"headers": "python", "venv": "python", "compiler": "gcc",
                                         "libGL.so.1": "libglvnd", "libgthread-2.0.so.0": "glib2",
                                         "libgomp.so.1": "gcc-libs", "libquadmath.so.0": "gcc-libs",
                                         "libz.so.1": "zlib"}),
}


def driver_side():
    """cian/base/cards.py, which asks the driver and needs no package; this package itself cannot be imported yet."""
    spec = importlib.util.spec_from_file_location("cards", str(ROOT / "cian" / "base" / "cards.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CARDS = driver_side()
USABLE = CARDS.USABLE


def gpu_capabilities():
    """Compute capabilities nvidia-smi lists, [(major, minor), ...]; None without nvidia-smi, [] if it fails.

    Drivers before 510 do not tell nvidia-smi; then the driver itself is asked.
    """
    command = shutil.which("nvidia-smi")
    if not command:
        return None
    try:
        text = subprocess.run([command, "--query-gpu=compute_cap", "--format=csv,noheader"], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, timeout=60, check=True).stdout.decode()
        return [tuple(int(part) for part in line.strip().split(".")) for line in text.splitlines() if line.strip()]
    except (OSError, ValueError, subprocess.SubprocessError):
        return [card.capability for card in CARDS.cards()]


def choose_set(capabilities, machine, wish="", driver=None):
    """The requirements file for this machine and one line that says why.

    capabilities: as from `gpu_capabilities`; machine: such as "Linux x86_64"; wish: "cpu", "gpu" or "system" overrules; driver:
    version of NVIDIA's, None if unknown.
    """
    if wish and wish not in SETS:
        raise ValueError("CIAN_SET=%s: expected %s" % (wish, ", ".join(SETS)))
    if wish == "system":
        return SETS[wish], "the installed MXNet, as CIAN_SET says, and all else beside it"
    if wish:
        return SETS[wish], "%s set, as CIAN_SET says" % wish.upper()
    if capabilities is None:
        return CPU_SET, "no NVIDIA GPU (no nvidia-smi): CPU set"
    if machine != "Linux x86_64":
        return CPU_SET, "MXNet has no CUDA wheel for %s: CPU set" % machine
    if not capabilities:
        return CPU_SET, "nvidia-smi lists no GPU and its compute capability: CPU set (CIAN_SET=gpu overrules)"
    names = ", ".join("%d.%d" % capability for capability in capabilities)
    usable = [USABLE[0] <= capability <= USABLE[1] for capability in capabilities]
    if driver and CARDS.too_old(driver):
        return CPU_SET, "NVIDIA driver %s, CUDA 11 needs %s or newer: CPU set" % (driver, "%d.%d.%02d" % CARDS.LEAST_DRIVER)
    if any(usable):
        rest = "" if all(usable) else "; only those of 5.0 to 8.9 can be used"
        return GPU_SET, "NVIDIA GPU, compute capability %s: GPU set%s" % (names, rest)
    return CPU_SET, ("NVIDIA GPU of compute capability %s: the mxnet-cu112 wheel has code for 5.0 to 8.9 only: CPU set "
                     "(experiments/README.md, GPUs: NVIDIA's container and CIAN_SET=system)" % names)


def system_mxnet():
    """("1.9.1", "CUDA" or "CPU") of the MXNet this interpreter has without .venv; ValueError where it is not to be had."""
    environment = {name: value for name, value in os.environ.items() if name != "DMLC_ROLE"}
    result = subprocess.run([sys.executable, "-c", WHOSE], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment,
                            universal_newlines=True, cwd=tempfile.gettempdir())
    lines = (result.stdout if result.returncode == 0 else result.stderr).strip().splitlines() or ["it ended without a word"]
    if result.returncode:
        raise ValueError("CIAN_SET=system: %s cannot import mxnet (%s); name the Python that can: PYTHON=/path/to/python3"
                         % (sys.executable, lines[-1]))
    version, build = lines[-1].split()
    if version.split("+")[0].split(".post")[0] != "1.9.1":
        raise ValueError("CIAN_SET=system: %s has MXNet %s, expected 1.9.1" % (sys.executable, version))
    return version, build


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


def find_missing(requirements=CPU_SET, own_mxnet=True):
    """One line for each thing that pip's step needs and that is not there, with the command that mends it.

    own_mxnet False: MXNet is there already, so its wheel's platform and libraries do not matter.
    """
    lines = []
    machine = "%s %s" % (platform.system(), platform.machine())
    if own_mxnet and machine not in PLATFORMS:
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
        needs = [("libGL.so.1", "OpenCV"), ("libgthread-2.0.so.0", "OpenCV")]
        needs += [("libgomp.so.1", "MXNet"), ("libquadmath.so.0", "MXNet")] if own_mxnet else []
        needs += [("libz.so.1", "cuDNN")] if requirements == GPU_SET else []
        for library, user in needs:
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


def stamp(requirements, mxnet=None):
    """What .venv was made from, as one word: requirement file, interpreter and place; after a dot what is compiled.

    mxnet: as from `system_mxnet`, where that is used.
    """
    installed = hashlib.sha256((ROOT / requirements).read_bytes())
    installed.update(repr((requirements, sys.base_prefix, sys.version, str(ROOT)) + ((mxnet,) if mxnet else ())).encode())
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
    machine, wish = "%s %s" % (platform.system(), platform.machine()), os.environ.get("CIAN_SET", "")
    try:
        requirements, reason = choose_set(gpu_capabilities(), machine, wish, CARDS.driver_version())
        mxnet = system_mxnet() if wish == "system" else None
    except ValueError as error:
        print("setup: %s" % error, file=sys.stderr)
        return 1
    wanted, made = stamp(requirements, mxnet), ROOT / ".venv" / "cian-stamp"
    state = compare(made.read_text().strip() if made.is_file() else "", wanted)
    if state != "install":
        print(state, requirements, wanted)
        return 0
    missing = find_missing(requirements, mxnet is None) + find_full_disks(requirements)
    for line in missing:
        print("setup: " + line, file=sys.stderr)
    if missing:
        return 1
    if mxnet:
        reason += " (%s, %s build)" % mxnet
    print("setup: Python %s; %s" % (platform.python_version(), reason), file=sys.stderr)
    print("install", requirements, wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
