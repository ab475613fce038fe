"""The devices of a training, the variables that MXNet and the CUDA libraries read, and what is recorded of both."""

import logging

import pytest

from cian.base import cards as cards_module
from cian.base import devices, environment, runtime
from cian.base.cards import Card
from cian.base.devices import training_devices
from cian.base.runtime import mx


def pretend(monkeypatch, capabilities, wheel="1.9.1"):
    """A machine with cards of these compute capabilities, and the wheel mxnet-cu112 unless `wheel` is None."""
    found = [Card(number, "Card", capability, 16 * 10**9) for number, capability in enumerate(capabilities)]
    monkeypatch.setattr(runtime, "cards", lambda: found)
    monkeypatch.setattr(runtime, "installed_version", lambda name: wheel)
    for module in (runtime, devices):
        monkeypatch.setattr(module, "count_gpus", lambda: len(found))


@pytest.mark.parametrize("gpus, groups, used", [
    (1, 4, 1), (3, 4, 2), (5, 4, 4), (6, 4, 4), (7, 8, 4), (8, 4, 4), (8, 8, 8), (3, 16, 2), (3, 7, 1), (0, 8, 0)])
def test_the_most_gpus_that_divide_the_groups(monkeypatch, caplog, gpus, groups, used):
    pretend(monkeypatch, [(7, 0)] * gpus)
    caplog.set_level(logging.INFO)
    expected = [mx.gpu(number) for number in range(used)] or [mx.cpu(0)]
    assert training_devices(None, groups) == (expected, len(expected))
    assert (f"{used} of {gpus} GPUs used" in caplog.text) == (used < gpus)


def test_shares_decide_instead_of_groups(monkeypatch):
    pretend(monkeypatch, [(7, 0)] * 8)
    assert training_devices(None, 8, 4) == ([mx.gpu(number) for number in range(4)], 4)
    assert training_devices("gpu0", 8, 4) == ([mx.gpu(0)], 4)
    assert training_devices("gpu1,gpu0", 8, 4) == ([mx.gpu(1), mx.gpu(0)], 4)


@pytest.mark.parametrize("text, groups, shares, message", [
    ("gpu0,gpu1,gpu2", 8, None, "8 groups or images of a batch cannot be shared by 3 devices"),
    ("gpu0,gpu1", 8, 1, "1 shares of a batch cannot be shared by 2 devices"),
    (None, 8, 3, "--shares 3: a batch of 8 groups or images cannot be cut into so many equal shares"),
    (None, 8, 0, "--shares 0")])
def test_what_does_not_go_is_said_before_the_training(monkeypatch, text, groups, shares, message):
    pretend(monkeypatch, [(7, 0)] * 4)
    with pytest.raises(ValueError, match=message):
        training_devices(text, groups, shares)


def test_cards_without_machine_code_are_left_out(monkeypatch, caplog):
    pretend(monkeypatch, [(9, 0), (7, 5), (3, 7), (8, 9)])
    assert training_devices(None, 8) == ([mx.gpu(1), mx.gpu(3)], 2)
    assert "gpu0, gpu2 left out" in caplog.text
    pretend(monkeypatch, [(9, 0), (7, 5)], wheel=None)  # another build, which may have code for it
    assert training_devices(None, 8) == ([mx.gpu(0), mx.gpu(1)], 2)


def test_variables_are_set_before_mxnet_is_loaded():
    found = environment.recorded()
    for name in ("MXNET_USE_FUSION", "MXNET_CUDNN_LIB_CHECKING", "MXNET_MKLDNN_CACHE_NUM", "OMP_NUM_THREADS"):
        assert name in found
    source = (runtime.__file__, "environment.set_defaults(environment.ALWAYS)", "import mxnet as mx")
    with open(source[0], encoding="utf-8") as file:
        text = file.read()
    assert text.index(source[1]) < text.index(source[2])
    assert environment.ALWAYS["MXNET_USE_FUSION"] == "0"


def test_the_users_variables_stay_and_ours_may_change(monkeypatch):
    monkeypatch.setattr(environment, "_ours", {})
    for name in environment.DETERMINISTIC:
        monkeypatch.delenv(name, raising=False)
    environment.set_defaults(environment.TRAINING)
    assert environment.recorded()["MXNET_CUDNN_AUTOTUNE_DEFAULT"] == "2"
    monkeypatch.delenv("MXNET_GPU_MEM_POOL_TYPE", raising=False)
    environment.set_defaults(environment.WHOLE_IMAGES)  # a training's own validation
    assert environment.recorded()["MXNET_CUDNN_AUTOTUNE_DEFAULT"] == "0"
    monkeypatch.setenv("MXNET_CUDNN_AUTOTUNE_DEFAULT", "1")
    environment.set_defaults(environment.TRAINING)
    assert environment.recorded()["MXNET_CUDNN_AUTOTUNE_DEFAULT"] == "1"
    with pytest.raises(ValueError, match="--deterministic: needs MXNET_CUDNN_AUTOTUNE_DEFAULT=0, but it is set to '1'"):
        environment.be_deterministic()
    monkeypatch.delenv("MXNET_CUDNN_AUTOTUNE_DEFAULT")
    environment.be_deterministic()
    assert environment.DETERMINISTIC.items() <= environment.recorded().items()
    for name in (*environment.DETERMINISTIC, "MXNET_GPU_MEM_POOL_TYPE"):
        monkeypatch.delenv(name)


def test_the_record_of_the_machine(monkeypatch):
    found = runtime.hardware([mx.cpu(0)])
    assert found["devices"] == ["cpu0"] and "cards" not in found and found["environment"] == environment.recorded()
    pretend(monkeypatch, [(7, 0), (8, 6)])
    monkeypatch.setattr(runtime, "driver_version", lambda: "535.104.05")
    monkeypatch.setattr(runtime, "cudnn_version", lambda: 8906)
    found = runtime.hardware([mx.gpu(1)])
    assert found["cards"] == ["gpu1 Card, compute capability 8.6, 16 GB"]
    assert (found["devices"], found["driver"], found["cudnn"]) == (["gpu1"], "535.104.05", 8906)


def test_old_drivers():
    assert cards_module.too_old("418.87.00") and cards_module.too_old("450.51.06")
    assert not cards_module.too_old("450.80.02") and not cards_module.too_old("535.104.05")
