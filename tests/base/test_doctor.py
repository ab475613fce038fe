"""tools/doctor.py: what is there, what is missing, and the exit status; also where MXNet cannot be imported."""
import os
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest
from scripts import module_of

from cian.base import cards, cuda, runtime, trial
from cian.base.runtime import mx

TOOL = Path(__file__).resolve().parents[2] / "tools" / "doctor.py"


@pytest.fixture()
def doctor(monkeypatch):
    """The verb, on a machine with room on its disk."""
    module = module_of("doctor")
    monkeypatch.setattr(module.shutil, "disk_usage", lambda folder: namedtuple("usage", "total used free")(100e9, 50e9, 50e9))
    return module


@pytest.fixture()
def dataset(tmp_path):
    """A data set of one image id; the image's content is not looked at."""
    root = tmp_path / "data"
    for name in ("JPEGImages", "ImageSets/Segmentation"):
        (root / name).mkdir(parents=True)
    (root / "classes.txt").write_text("background\ncat\n")
    (root / "JPEGImages" / "a.jpg").write_bytes(b"")
    (root / "ImageSets" / "Segmentation" / "val.txt").write_text("a\n")
    return root


@pytest.fixture()
def weights(tmp_path):
    path = tmp_path / "w.params"
    mx.nd.save(str(path), {"arg:conv0_weight": mx.nd.zeros((2, 3)), "arg:bn0_gamma": mx.nd.zeros((2,)),
                           "aux:bn0_moving_mean": mx.nd.zeros((2,))})
    return path


def test_all_is_well(doctor, dataset, weights, capsys):
    assert doctor.main(["--data", str(dataset), "--init", str(weights)]) == 0
    output = capsys.readouterr().out
    assert "data: 2 classes; val 1\n" in output
    assert "w.params: 2 parameters, 1 running statistics, 0.00 M values\n" in output
    assert output.endswith("all that is needed is there\n")


def test_nothing_named_is_nothing_missing(doctor, capsys):
    assert doctor.main([]) == 0
    output = capsys.readouterr().out
    for name in ("Python", "MXNet", "device", "driver", "CUDA libraries", "OpenMP threads", "packages", "pydensecrf",
                 "data set", "weights", "disk"):
        assert any(line[8:].startswith(name) for line in output.splitlines())
    assert "--data ROOT" in output and "--init FILE" in output


def test_what_is_wrong_is_counted(doctor, tmp_path, dataset, capsys):
    broken = tmp_path / "broken.params"
    broken.write_bytes(b"not a parameter file")
    (dataset / "JPEGImages" / "a.jpg").unlink()
    assert doctor.main(["--data", str(dataset), "--init", str(broken)]) == 1
    output = capsys.readouterr().out
    assert "a.jpg: not there, but in" in output and "broken.params: " in output
    assert output.endswith("2 needed things are missing\n")


def test_absent_files_are_missing(doctor, tmp_path):
    assert doctor.check_data(tmp_path / "none").status == "missing"
    finding = doctor.check_weights(runtime, tmp_path / "none.params")
    assert finding.status == "missing" and finding.text.endswith("none.params: no such file")


def test_weights_without_names_are_refused(doctor, tmp_path):
    mx.nd.save(str(tmp_path / "list.params"), [mx.nd.zeros((2,))])
    assert "arrays without names" in doctor.check_weights(runtime, tmp_path / "list.params").text


@pytest.mark.parametrize("error", ["ImportError('no driver')", "AttributeError('np.bool')", "OSError('libopenblas')"])
def test_mxnet_that_cannot_be_imported(tmp_path, error):
    (tmp_path / "mxnet.py").write_text(f"raise {error}\n")
    path = os.pathsep.join([str(tmp_path), str(TOOL.parents[1])])
    result = subprocess.run([sys.executable, str(TOOL), "--init", "w.params"], env=dict(os.environ, PYTHONPATH=path),
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True, timeout=60)
    assert result.returncode == 1 and result.stderr == ""
    assert "missing MXNet           cannot be imported: " in result.stdout
    assert "-> bash experiments/setup.sh" in result.stdout
    assert "w.params: cannot be read without MXNet" in result.stdout


def test_threads(doctor, monkeypatch):
    monkeypatch.setattr(doctor.joblib, "cpu_count", lambda: 8)
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    assert doctor.check_threads() == ("ok", "OpenMP threads", "8 of 8 processors", "")
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert doctor.check_threads().mend.startswith("unset OMP_NUM_THREADS")
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    assert doctor.check_threads().status == "missing"


def test_missing_cuda_libraries_are_all_named(doctor, monkeypatch):
    monkeypatch.setattr(cuda, "installed_version", lambda name: "1.9.1" if name == "mxnet-cu112" else None)
    monkeypatch.setattr(cuda, "find_cuda_library", lambda folder, library: None)
    monkeypatch.setattr(cuda, "load", lambda library: library not in ("libcuda.so.1", "libcufft.so.10", "libnccl.so.2"))
    finding = doctor.check_cuda()
    assert finding.status == "missing" and finding.text == "not found: libcuda.so.1, libcufft.so.10, libnccl.so.2"
    assert finding.mend == ("install the NVIDIA driver; pip install --no-deps nvidia-cufft-cu11==10.9.0.58 "
                            "nvidia-nccl-cu11==2.21.5")
    monkeypatch.setattr(cuda, "load", lambda library: True)
    assert doctor.check_cuda() == ("ok", "CUDA libraries", "11 found", "")


def test_both_builds_at_once_are_a_fault(doctor, monkeypatch):
    monkeypatch.setattr(cuda, "installed_version", lambda name: "1.9.1")
    assert "both installed" in doctor.check_mxnet(runtime).text


def test_full_disk(doctor, monkeypatch):
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda folder: namedtuple("usage", "free")(int(0.3e9)))
    assert doctor.check_disk().status == "missing" and "0.3 GB free" in doctor.check_disk().text


def test_gpus_are_tried_and_described(doctor, monkeypatch):
    def fault(context):
        return "convolution: no kernel image is available for execution on the device" if context == mx.gpu(1) else None

    monkeypatch.setattr(runtime, "count_gpus", lambda: 2)
    monkeypatch.setattr(trial, "fault", fault)
    monkeypatch.setattr(cards, "cards", lambda: [cards.Card(n, "Tesla T4", (7, 5), 16 * 10**9) for n in range(2)])
    monkeypatch.setattr(mx.context, "gpu_memory_info", lambda number: (14 * 10**9, 16 * 10**9))
    first, second, cpu = doctor.check_devices(runtime)
    assert first[:3] == ("ok", "device", "gpu0 Tesla T4, compute capability 7.5, 16 GB, 14.0 of 16.0 GB free")
    assert cpu.status == "ok"
    assert second.status == "missing" and "no kernel image" in second.text and "5.0 to 8.9" in second.mend


@pytest.mark.parametrize("name", ["convolution", "hybridized block", "batch_dot", "linalg.syevd"])
def test_a_device_that_computes_wrongly_is_found(monkeypatch, name):
    assert trial.TRIALS[name](mx.cpu()) and trial.fault(mx.cpu()) is None
    monkeypatch.setitem(trial.TRIALS, name, lambda context: False)
    assert trial.fault(mx.cpu()) == f"{name} gives a wrong result"


@pytest.mark.parametrize("gpu, version, status, words", [
    (False, None, "-", "no NVIDIA driver"), (True, None, "missing", "no NVIDIA driver"),
    (True, "418.87.00", "missing", "418.87.00 is too old for CUDA 11"), (True, "535.104.05", "ok", "535.104.05, cuDNN 8906")])
def test_driver(doctor, monkeypatch, gpu, version, status, words):
    monkeypatch.setattr(runtime, "gpu_build", lambda: gpu)
    monkeypatch.setattr(cards, "driver_version", lambda: version)
    monkeypatch.setattr(cards, "cudnn_version", lambda: 8906)
    finding = doctor.check_driver(runtime)
    assert (finding.status, finding.text) == (status, words)
    assert ("450.80.2 or newer" in finding.mend) == (version == "418.87.00")
