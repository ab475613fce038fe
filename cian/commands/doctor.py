"""Tell whether this machine and installation are fit: one line a thing, `ok` or `missing` and how to mend it.

Exit status 0 when nothing needed is missing, else 1. Data set and weights count as needed when they are named.
"""
import importlib
import os
import platform
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

import joblib
import numpy as np

from cian.base import cards, cuda
from cian.base.parser import Parser

PYTHONS = ((3, 8), (3, 12))
SETUP = "bash experiments/setup.sh"
MODULES = ("gluoncv", "cv2", "PIL", "scipy", "skimage", "matplotlib", "pycocotools", "tqdm")
DISK = 1.0  # GB a run folder of the main job may take


class Finding(NamedTuple):
    """One line: status "ok", "missing" (needed) or "-" (not there, not needed), what, and how to mend it."""
    status: str
    name: str
    text: str
    mend: str = ""


def make_parser():
    parser = Parser("cian doctor", __doc__, "cian doctor --data VOC2012 --init resnet-101-0000.params")
    parser.add_argument("--data", type=Path, metavar="ROOT", help="data set in VOC layout to look at")
    parser.add_argument("--init", type=Path, metavar="FILE", help="pretrained weights to look at: .params, .safetensors, .pth")
    return parser


def parse_args(argv=None):
    return make_parser().parse_args(argv)


def check_python():
    """The interpreter's version."""
    good = PYTHONS[0] <= sys.version_info[:2] <= PYTHONS[1]
    return Finding("ok" if good else "missing", "Python", f"{platform.python_version()} ({sys.executable})",
                   "" if good else f"use 3.8 to 3.12: PYTHON=/path/to/python3.11 {SETUP}")


def load_runtime():
    """cian.base.runtime, or None and the Finding that says why it cannot be imported."""
    os.environ.pop("DMLC_ROLE", None)  # with the role of a server, importing MXNet would serve
    try:
        return importlib.import_module("cian.base.runtime"), None
    except Exception as error:  # whatever a broken installation raises: ImportError, OSError, AttributeError, ...
        mend = "" if ": pip install" in str(error) or SETUP in str(error) else SETUP  # cian.base.cuda's bring their own
        return None, Finding("missing", "MXNet", f"cannot be imported: {error}", mend)


def check_mxnet(runtime):
    """MXNet's build, and a convolution whose result is known."""
    both = cuda.installed_version("mxnet") and cuda.installed_version("mxnet-cu112")
    wheel = " (mxnet-cu112)" if cuda.installed_version("mxnet-cu112") else ""
    text = f"{runtime.mx.__version__}, {'GPU' if runtime.gpu_build() else 'CPU'} build{wheel}"
    if both:
        return Finding("missing", "MXNet", "mxnet and mxnet-cu112 are both installed, one over the other",
                       f"rm -r .venv && {SETUP}")
    from cian.base import trial  # which imports MXNet, as runtime has done by now

    wrong = trial.fault(runtime.mx.cpu())
    return Finding("missing", "MXNet", f"{text}: on the CPU {wrong}", SETUP) if wrong else Finding("ok", "MXNet", text)


def check_driver(runtime):
    """The NVIDIA driver, and whether it is new enough for the GPU build's libraries."""
    version = cards.driver_version()
    if version is None:
        there = runtime is not None and runtime.gpu_build()
        return Finding("missing" if there else "-", "driver", "no NVIDIA driver", "install one" if there else "")
    if cards.too_old(version):
        least = ".".join(map(str, cards.LEAST_DRIVER))
        return Finding("missing", "driver", f"{version} is too old for CUDA 11", f"install {least} or newer")
    cudnn = cards.cudnn_version()
    return Finding("ok", "driver", version + (f", cuDNN {cudnn}" if cudnn else ""))


def check_devices(runtime):
    """The devices MXNet can use; each GPU is tried with what the trainings need, for which it needs machine code."""
    from cian.base import trial  # as above

    mx, findings = runtime.mx, []
    count, known = runtime.count_gpus(), {card.number: str(card) for card in cards.cards()}
    for number in range(count):
        text, wrong = known.get(number, f"gpu{number}"), trial.fault(mx.gpu(number))
        if wrong is None:
            free, total = mx.context.gpu_memory_info(number)
            findings.append(Finding("ok", "device", f"{text}, {free / 1e9:.1f} of {total / 1e9:.1f} GB free"))
        else:
            findings.append(Finding("missing", "device", f"{text}: {wrong}", "the wheel mxnet-cu112 needs compute capability "
                                    "5.0 to 8.9, another MXNet its own (experiments/README.md, GPUs); else "
                                    f"CIAN_SET=cpu {SETUP}"))
    if not count:
        driver = shutil.which("nvidia-smi") is not None
        findings.append(Finding("-", "device", "no GPU" + (" that this MXNet can use" if driver else ""),
                                f"{SETUP} says why" if driver else ""))
    findings.append(Finding("ok", "device", "cpu"))
    return findings


def check_cuda():
    """The CUDA libraries of the GPU build: which are found in wheels or by the system's loader."""
    if not cuda.installed_version("mxnet-cu112"):
        return Finding("-", "CUDA libraries", "this MXNet needs none of the wheels'")
    absent = [] if cuda.load("libcuda.so.1") else [("libcuda.so.1", "")]
    for distribution, version, folder, libraries in cuda.CUDA_LIBRARIES:
        for library in libraries:
            if not cuda.load(cuda.find_cuda_library(folder, library) or library):
                absent.append((library, f"{distribution}=={version}"))
    if absent:
        wheels = " ".join(sorted({wheel for _, wheel in absent if wheel}))
        mends = (["install the NVIDIA driver"] if absent[0][1] == "" else []) + (
            ["pip install --no-deps " + wheels] if wheels else [])
        return Finding("missing", "CUDA libraries", "not found: " + ", ".join(library for library, _ in absent),
                       "; ".join(mends))
    return Finding("ok", "CUDA libraries", f"{sum(len(entry[-1]) for entry in cuda.CUDA_LIBRARIES)} found")


def check_threads():
    """OpenMP's threads against the processors of this process."""
    threads, processors = os.environ.get("OMP_NUM_THREADS", str(joblib.cpu_count())), joblib.cpu_count()
    if not threads.isdigit() or int(threads) < 1:
        return Finding("missing", "OpenMP threads", f"OMP_NUM_THREADS is {threads!r}", "unset OMP_NUM_THREADS")
    return Finding("ok", "OpenMP threads", f"{threads} of {processors} processors",
                   "" if int(threads) == processors else "unset OMP_NUM_THREADS to use all")


def check_modules(runtime):
    """The other packages, imported; gluoncv cannot be without MXNet."""
    absent, names = [], [name for name in MODULES if runtime is not None or name != "gluoncv"]
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:  # as in load_runtime
            absent.append(f"{name} ({error})")
    if absent:
        return Finding("missing", "packages", ", ".join(absent), SETUP)
    return Finding("ok", "packages", ", ".join(names))


def check_crf():
    """pydensecrf, on 2 x 2 pixels: the class the unary term prefers must win."""
    try:
        from pydensecrf.densecrf import DenseCRF2D
        crf = DenseCRF2D(2, 2, 2)
        crf.setUnaryEnergy(np.array([[2, 2, 0, 0], [0, 0, 2, 2]], np.float32))  # (K, H W): energies, low is likely
        crf.addPairwiseGaussian(sxy=0.1, compat=1)
        labels = np.array(crf.inference(2)).argmax(axis=0).tolist()
    except Exception as error:  # a wheel built for another Python or numpy fails in many ways
        return Finding("missing", "pydensecrf", f"does not work: {error}", SETUP)
    if labels != [1, 1, 0, 0]:
        return Finding("missing", "pydensecrf", f"gives {labels} instead of [1, 1, 0, 0]", SETUP)
    return Finding("ok", "pydensecrf", "a 2 x 2 CRF gives the labels expected")


def check_data(root):
    """A data set in VOC layout: classes, and the lists with their lengths and first images."""
    if root is None:
        return Finding("-", "data set", "none named", "--data ROOT looks at one; tools/prepare_data.py makes one")
    try:
        from cian.data.voc import open_dataset
        dataset, lists = open_dataset(root), []
        for path in sorted((Path(root) / "ImageSets" / "Segmentation").glob("*.txt")):
            ids = dataset.read_ids(path.stem)
            lists.append(f"{path.stem} {len(ids)}")
            if not dataset.image_path(ids[0]).is_file():
                raise FileNotFoundError(f"{dataset.image_path(ids[0])}: not there, but in {path}")
        if not lists:
            raise FileNotFoundError(f"{root}: no list in ImageSets/Segmentation")
    except (ImportError, OSError, ValueError, IndexError) as error:
        return Finding("missing", "data set", str(error), "tools/prepare_data.py --help")
    return Finding("ok", "data set", f"{root}: {len(dataset.classes)} classes; {', '.join(lists)}")


def check_weights(runtime, path):
    """A file of weights: the number of parameters, running statistics and values in it."""
    if path is None:
        return Finding("-", "weights", "none named", "--init FILE looks at a file of weights")
    if runtime is None:
        return Finding("missing", "weights", f"{path}: cannot be read without MXNet", SETUP)
    if not path.is_file():
        return Finding("missing", "weights", f"{path}: no such file", "`cian weights list` names what there is")
    from cian.models.weight_file import read_weights
    try:
        arrays = read_weights(path)
    except ValueError as error:
        return Finding("missing", "weights", str(error), "fetch the file again; `cian weights list` names what there is")
    auxiliary = sum("running_" in name or "moving_" in name for name in arrays)
    values = sum(array.size for array in arrays.values())
    return Finding("ok", "weights", f"{path}: {len(arrays) - auxiliary} parameters, {auxiliary} running statistics, "
                   f"{values / 1e6:.2f} M values")


def check_disk():
    """Free space where the tool runs."""
    free = shutil.disk_usage(os.getcwd()).free / 1e9
    return Finding("ok" if free >= DISK else "missing", "disk", f"{free:.1f} GB free in {os.getcwd()}",
                   "" if free >= DISK else f"make room: a run folder takes up to {DISK:.0f} GB (df -h .)")


def examine(data=None, init=None):
    """All findings, in the order they are shown."""
    findings = [check_python()]
    runtime, problem = load_runtime()
    findings += [problem] if runtime is None else [check_mxnet(runtime)] + check_devices(runtime)
    findings += [check_driver(runtime), check_cuda(), check_threads(), check_modules(runtime), check_crf(), check_data(data),
                 check_weights(runtime, init), check_disk()]
    return findings


def main(argv=None):
    args = parse_args(argv)
    findings = examine(args.data, args.init)
    for finding in findings:
        mend = f"  -> {finding.mend}" if finding.mend else ""
        print(f"{finding.status:8}{finding.name:16}{finding.text}{mend}")
    missing = sum(finding.status == "missing" for finding in findings)
    print(f"{missing} needed things are missing" if missing else "all that is needed is there")
    return 1 if missing else 0
