"""The runtime: numpy aliases, threads, devices, versions, CUDA libraries."""
import json
import os
import platform
import subprocess
import sys

import joblib
import numpy as np
import pytest

from cian.base import cuda, runtime
from cian.base.runtime import devices, mx, versions


def test_numpy_aliases_are_there():
    assert np.__dict__["bool"] is bool and np.__dict__["object"] is object


def test_mxnet_computes():
    assert float((mx.nd.ones((2, 3)) * 2).sum().asscalar()) == 12.0


@pytest.mark.skipif(platform.machine() != "x86_64", reason="denormal numbers are switched off on x86-64 only")
def test_denormal_numbers_count_as_zero():
    """In a process of its own: other libraries that tests use, such as ONNX Runtime, may set the mode of a thread anew."""
    code = (
        "from cian.base.runtime import mx\n"
        "print(*((mx.nd.full((64,), 1e-30) * factor).asnumpy().any() for factor in (1e-5, 1e-10)))"
    )
    found = subprocess.check_output([sys.executable, "-c", code], universal_newlines=True)
    assert found.split() == ["True", "False"]


def test_all_processors_unless_the_user_says_otherwise(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    runtime.use_all_processors()
    assert os.environ["OMP_NUM_THREADS"] == "7"
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr(runtime.joblib, "cpu_count", lambda: 5)
    runtime.use_all_processors()
    assert os.environ["OMP_NUM_THREADS"] == "5"


def test_threads_are_set_and_fusion_is_off_by_the_import():
    code = (
        "import os\nfrom cian.base.runtime import mx\n"
        "print(os.environ['OMP_NUM_THREADS'], mx.util.getenv('MXNET_USE_FUSION'))"
    )
    ours = ("OMP_NUM_THREADS", "MXNET_USE_FUSION")  # the second as MXNet itself reads it
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    found = subprocess.check_output([sys.executable, "-c", code], env=environment, universal_newlines=True)
    assert found.split() == [str(joblib.cpu_count()), "0"]


@pytest.mark.parametrize("text, expected", [
    ("cpu", [mx.cpu(0)]), ("cpu0", [mx.cpu(0)]), ("cpu3", [mx.cpu(3)]), (" cpu1 ", [mx.cpu(1)])])
def test_devices(text, expected):
    assert devices(text) == expected


def test_several_cpu_devices_need_one_thread_each(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert devices("cpu1,cpu0") == [mx.cpu(1), mx.cpu(0)]
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    with pytest.raises(ValueError, match="'cpu0,cpu1'.*OMP_NUM_THREADS is 2; put `env OMP_NUM_THREADS=1`"):
        devices("cpu0,cpu1")


def test_gpu_devices_that_are_there(monkeypatch):
    monkeypatch.setattr(runtime, "count_gpus", lambda: 2)
    assert devices("gpu1,gpu0") == [mx.gpu(1), mx.gpu(0)]
    assert devices("gpu") == [mx.gpu(0)]
    with pytest.raises(ValueError, match="gpu2 is not there"):
        devices("gpu0,gpu2")


@pytest.mark.parametrize("text, message", [
    ("tpu0", "'tpu0' is no device; expected cpu, cpuN"), ("", "'' is no device"), ("cpu0,", "'' is no device"),
    ("gpu-1", "'gpu-1' is no device"), ("cpu,cpu0", "'cpu0' is named twice"), ("gpu1,gpu1", "'gpu1' is named twice"),
    ("gpu99", "gpu99 is not there")])
def test_wrong_devices_are_errors(text, message):
    with pytest.raises(ValueError, match=message):
        devices(text)


def test_versions_are_plain_and_complete():
    found = versions()
    assert found["python"] == ".".join(str(part) for part in sys.version_info[:3])
    assert found["mxnet"] == mx.__version__ and found["numpy"] == np.__version__
    assert found["mxnet-build"] in ("cpu", "cu112") and found["gluoncv"] and found["opencv-python"]
    assert json.loads(json.dumps(found)) == found


def test_absent_distribution_has_no_version():
    assert cuda.installed_version("no-such-distribution") is None


def test_cuda_libraries_are_found_in_wheels(tmp_path, monkeypatch):
    library = tmp_path / "nvidia" / "curand" / "lib" / "libcurand.so.10"
    library.parent.mkdir(parents=True)
    library.write_bytes(b"")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "nvidia", raising=False)
    assert cuda.find_cuda_library("curand", "libcurand.so.10") == library
    assert cuda.find_cuda_library("curand", "libcurand.so.11") is None
    assert cuda.find_cuda_library("no_such_folder", "libcurand.so.10") is None


def test_cuda_libraries_load_in_order(monkeypatch):
    loaded = []
    monkeypatch.setattr(cuda, "find_cuda_library", lambda folder, library: None)
    monkeypatch.setattr(cuda, "load", lambda library: loaded.append(library) or True)
    cuda.load_cuda_libraries()
    assert loaded[:3] == ["libcuda.so.1", "libcudart.so.11.0", "libnvrtc.so.11.2"]
    assert loaded.index("libcublasLt.so.11") < loaded.index("libcublas.so.11") < loaded.index("libcusolver.so.11")
    assert loaded[-1] == "libcudnn.so.8" and len(loaded) == 12


@pytest.mark.parametrize("missing, message", [
    ("libcuda.so.1", "no NVIDIA driver"),
    ("libcurand.so.10", r"needs libcurand.so.10, .*: pip install --no-deps nvidia-curand-cu11==10.3.0.86$")])
def test_missing_cuda_library_is_named_with_its_cure(monkeypatch, missing, message):
    monkeypatch.setattr(cuda, "find_cuda_library", lambda folder, library: None)
    monkeypatch.setattr(cuda, "load", lambda library: library != missing)
    with pytest.raises(ImportError, match=message):
        cuda.load_cuda_libraries()


def test_load_tells_whether_a_library_is_there():
    assert not cuda.load("libno_such_library.so.9")


@pytest.mark.parametrize("role, expected", [("worker", [5]), ("server", []), ("", [])])
def test_only_failed_workers_end_at_once(monkeypatch, role, expected):
    ends = []
    monkeypatch.setenv("DMLC_ROLE", role)
    monkeypatch.setattr(runtime.os, "_exit", ends.append)
    runtime.end_worker(5)
    assert ends == expected


def test_kernels_of_many_sizes_do_not_fill_the_memory():
    code = (
        "import ctypes; ctypes.CDLL(None).prctl(41, 1, 0, 0, 0)\n"  # no huge pages, which would round what is counted
        "from cian.base.runtime import mx\n"
        "net = mx.gluon.nn.Conv2D(16, 3, in_channels=16)\nnet.initialize()\nnet.hybridize()\n"
        "def run(rows):\n"
        "    for height in rows:\n        for width in range(20, 60):\n"
        "            net(mx.nd.ones((1, 16, height, width))).wait_to_read()\n"
        "    return int(open('/proc/self/statm').read().split()[1])\n"  # pages; getrusage would count the parent's too
        "print(run(range(45, 60)), run(range(25, 45)))\n"  # the smaller ones last: only the number of sizes grows
    )

    def growth(**limit):
        kept = {name: value for name, value in os.environ.items() if name != "MXNET_MKLDNN_CACHE_NUM"}
        environment = {**kept, "OMP_NUM_THREADS": "1", **limit}
        result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        before, after = map(float, result.stdout.split()[-2:])
        return after - before

    assert growth() < 0.7 * growth(MXNET_MKLDNN_CACHE_NUM="-1")  # a quarter when written; as much if nothing is let go
