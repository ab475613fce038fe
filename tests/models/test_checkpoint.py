"""Checkpoints, and starting from one: round trips, and errors that name what is wrong."""

import numpy as np
import pytest

from cian.base.runtime import mx
from cian.models.cam import CAM
from cian.models.checkpoint import load_checkpoint, load_parameters, named_arrays, read_params, save_checkpoint, saved_classes
from cian.models.cian import CIAN
from cian.models.pretrained import load_pretrained


def network(seed=0, **options):
    net = CIAN("resnet10", 4, **options)
    mx.random.seed(seed)
    net.initialize(mx.init.Xavier(), force_reinit=True)
    return net


def values(net):
    return {name: p.data().asnumpy() for name, p in net.collect_params().items()}


def test_round_trip_with_published_prefixes(tmp_path):
    path, net, other = tmp_path / "x.params", network(0), network(1)
    save_checkpoint(path, named_arrays(net))
    stored = mx.nd.load(str(path))
    assert "arg:conv0_weight" in stored and "aux:bn_out_moving_mean" in stored and "arg:bn_data_gamma" in stored
    load_checkpoint(other, path)
    for name, value in values(net).items():
        assert np.array_equal(value, values(other)[name]), name
    assert saved_classes(read_params(path), path) == 4
    assert [p.name for p in tmp_path.iterdir()] == ["x.params"]  # no temporary file stays


def test_every_misfit_is_named(tmp_path):
    arrays = {name: p.data() for name, p in network().collect_params().items()}
    del arrays["bn0_gamma"]
    arrays["conv9_weight"] = mx.nd.zeros((1,))
    arrays["fc1_weight"] = mx.nd.zeros((5, 128, 3, 3))
    with pytest.raises(ValueError) as error:
        load_parameters(network(), arrays, "some.params")
    for part in ("some.params", "missing bn0_gamma (32,)", "unexpected conv9_weight (1,)",
                 "fc1_weight has shape (5, 128, 3, 3), expected (4, 128, 3, 3)"):
        assert part in str(error.value)


def test_nan_is_refused():
    arrays = {name: p.data() for name, p in network().collect_params().items()}
    arrays["fc1_weight"] = arrays["fc1_weight"] * np.nan
    with pytest.raises(ValueError, match="some.params: fc1_weight holds NaN"):
        load_parameters(network(), arrays, "some.params")


@pytest.mark.parametrize("content", [b"", b"1234", b"not parameters at all, but long enough", b"\x12\x01" + b"\0" * 6])
def test_files_that_are_no_parameters(tmp_path, content):
    path = tmp_path / "bad.params"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="bad.params"):
        read_params(path)


def test_truncated_file(tmp_path):
    path = tmp_path / "cut.params"
    save_checkpoint(path, named_arrays(network()))
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ValueError, match="cut.params"):
        read_params(path)


def test_pretrained_drops_the_old_classifier_and_starts_the_new_layers(tmp_path, caplog):
    path, net = tmp_path / "imagenet.params", network()
    arrays = {k: v for k, v in named_arrays(network(1, affinity=False)).items() if "fc1" not in k}
    arrays.update({"arg:fc1_weight": mx.nd.ones((1000, 128)), "arg:fc1_bias": mx.nd.ones((1000,))})
    mx.nd.save(str(path), arrays)
    before = values(net)
    caplog.set_level("INFO")
    load_pretrained(net, path, "resnet10")
    after = values(net)
    assert np.array_equal(after["conv0_weight"], arrays["arg:conv0_weight"].asnumpy())
    assert np.array_equal(after["fc1_weight"], before["fc1_weight"])
    assert "left out fc1_weight, fc1_bias" in caplog.text.replace("fc1_bias, fc1_weight", "fc1_weight, fc1_bias")
    assert "initialised bn_out_beta" in caplog.text and "conv_embed_q_weight" in caplog.text


def test_missing_backbone_layers_need_allow_missing(tmp_path):
    path = tmp_path / "part.params"
    arrays = {k: v for k, v in named_arrays(network(1)).items() if "stage2" not in k}
    mx.nd.save(str(path), arrays)
    with pytest.raises(ValueError, match="missing stage2_unit1_bn1_beta"):
        load_pretrained(network(), path, "resnet10")
    load_pretrained(network(), path, "resnet10", allow_missing=True)


def test_a_classifier_starts_a_segmentation_network(tmp_path):
    path, cam, net = tmp_path / "cam.params", CAM("resnet10", 3), network()
    cam.initialize()
    save_checkpoint(path, named_arrays(cam))
    load_pretrained(net, path, "resnet10")
    assert np.array_equal(values(net)["conv0_weight"], values(cam)["conv0_weight"])
