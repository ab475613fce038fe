"""COMNet's classifier: its network against its parts, its crops, its settings, and its training and maps through the tools."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from small_training import ROOT
from test_main_job import tool
from test_training import log_lines

from cian.activation import activation_maps
from cian.classifiers import load_classifier, settings_of_run
from cian.config import Matching
from cian.data.images import read_image
from cian.data.long_side import LongSideExamples, random_window, with_long_side
from cian.data.scenes import generate
from cian.data.voc import open_dataset
from cian.engine import learning_rate, make_trainer
from cian.export import trace
from cian.files import read_json, write_json
from cian.models.cam import CAM
from cian.models.checkpoint import named_arrays, read_params, save_checkpoint
from cian.models.comnet import COMNet
from cian.objectives import MatchingObjective
from cian.runtime import mx
from cian.seeds import load_cam

nd = mx.nd


def network(matching="both", **options):
    net = COMNet("resnet10", 3, matching, batchnorm="frozen", **options)
    mx.random.seed(2)
    net.initialize(mx.init.Xavier())
    if net.intra is not None:
        net.intra.mlp.weight.set_data(nd.random.normal(scale=0.1, shape=net.intra.mlp.weight.shape))
    return net


def groups(count, size, side=41, seed=3):
    return nd.array(np.random.RandomState(seed).randint(0, 256, (count, size, 3, side, side)))


def test_without_matching_it_is_the_plain_classifier():
    net, plain = network("none"), CAM("resnet10", 3)
    plain.initialize()
    assert set(plain.collect_params()) == set(net.collect_params())
    for name, parameter in net.collect_params().items():
        plain.collect_params()[name].set_data(parameter.data())
    x = groups(2, 3)
    expected = plain(x.reshape((-3, -2))).asnumpy().reshape(2, 3, 3)
    np.testing.assert_allclose(net(x).asnumpy(), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(net.maps(x[0]).asnumpy(), plain.maps(x[0]).asnumpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", [2, 3])
def test_the_network_is_the_sequence_of_its_parts(size):
    net, x = network(alpha=1.7, k=5), groups(2, size)
    features = net.backbone(x.reshape((-3, -2)))
    scores = net.classifier(features).asnumpy()
    features = features.asnumpy().reshape((2, size) + features.shape[1:])
    shape = (2, size, 1) + features.shape[3:]
    masks = net.inter(nd.array(features), nd.array(scores.max(axis=1).reshape(shape))).asnumpy()
    enhanced = nd.array(np.where(masks > 0, 1.7 * features, features).reshape((-1,) + features.shape[2:]))
    maps = net.classifier(net.intra(enhanced)).asnumpy()
    expected = maps.mean(axis=(2, 3)).reshape(2, size, 3)
    for hybrid in (False, True):
        net.hybridize(hybrid)
        np.testing.assert_allclose(net(x).asnumpy(), expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(net.maps(x[1]).asnumpy(), maps[size:], rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(net.masks(x[1]).asnumpy(), masks[1, :, 0], atol=1e-5)
    found, grid = net.matched_points(x[1])
    assert grid == features.shape[3:] == (6, 6) and np.array_equal(
        found.asnumpy(), net.intra.nearest(nd, enhanced)[size:].asnumpy()
    )


@pytest.mark.parametrize("padding", ["matched", "ignored"])
def test_its_symbol_runs_without_this_code(padding, tmp_path):
    net, x = network(padding=padding), groups(2, 2)
    path = tmp_path / "comnet-symbol.json"
    path.write_text(trace(net, ["logits"]))
    save_checkpoint(tmp_path / "comnet-0000.params", named_arrays(net))
    block = mx.gluon.SymbolBlock.imports(str(path), ["data"], str(tmp_path / "comnet-0000.params"))
    for one in (x, groups(1, 3, side=57)):  # the graph takes groups and images of any size
        np.testing.assert_allclose(block(one).asnumpy(), net(one).asnumpy(), rtol=1e-4, atol=1e-5)


def test_a_group_changes_its_members_only_through_inter_matching():
    x = groups(1, 2)
    other = nd.concat(x[:, :1], groups(1, 1, seed=9), dim=1)
    for matching, changes in (("none", False), ("intra", False), ("inter", True), ("both", True)):
        net = network(matching)
        assert (np.abs((net(x) - net(other)).asnumpy()[0, 0]).max() > 1e-6) == changes, matching


def test_padding_can_be_left_out_of_the_masks():
    x = groups(1, 2, side=49).asnumpy()
    mean = network().backbone.bn_data.moving_mean.data().asnumpy()
    x[0, 0, :, 26:], x[0, 1, :, :, :13] = mean[:, None, None], mean[:, None, None]
    for hybrid in (False, True):
        net = network("inter", padding="ignored")
        net.hybridize(hybrid)
        mask = net.masks(nd.array(x[0])).asnumpy()
        empty = np.zeros((2, 7, 7), bool)
        empty[0, 4:], empty[1, :, :2] = True, True  # features lie at every eighth pixel
        assert np.array_equal(mask == 0, empty)
        assert np.abs(network("inter").masks(nd.array(x[0])).asnumpy()[empty]).min() > 0
        with mx.autograd.record():
            net(nd.array(x)).sum().backward()
        assert np.isfinite(net.classifier.weight.grad().asnumpy()).all()
    with pytest.raises(ValueError, match="padding: 'cut', expected one of matched, ignored"):
        network(padding="cut")


def test_what_a_network_lacks_is_named():
    with pytest.raises(ValueError, match="matching: 'all', expected one of none, inter, intra, both"):
        COMNet("resnet10", 3, "all")
    with pytest.raises(ValueError, match="no inter-matching, hence no masks"):
        network("intra").masks(groups(1, 2)[0])
    with pytest.raises(ValueError, match="no intra-matching, hence no matched points"):
        network("inter").matched_points(groups(1, 2)[0])


@pytest.mark.parametrize("size", [(1, 1), (3, 40)])
def test_tiny_images_have_activation_maps(size):
    net = network(k=8)
    image = np.random.RandomState(0).randint(0, 256, size + (3,)).astype(np.uint8)
    maps, scores = activation_maps(net, image, (1, 3), (0.5, 1.0))
    assert maps.shape == (2, 1, (size[1] + 7) // 8) and np.isfinite(scores).all() and net.least_side == 17


def test_activation_maps_take_image_and_mirror_as_the_pair():
    net = network()
    image = np.random.RandomState(5).randint(0, 256, (33, 49, 3)).astype(np.uint8)
    pair = nd.array(np.stack([image, image[:, ::-1]]).transpose(0, 3, 1, 2))
    maps = net.maps(pair).asnumpy()
    summed = np.maximum(maps[0], 0) + np.maximum(maps[1], 0)[:, :, ::-1]
    found, scores = activation_maps(net, image, (2,), (1.0,))
    np.testing.assert_allclose(found[0], summed[1] / max(summed[1].max(), 1e-5), atol=1e-5)
    np.testing.assert_allclose(scores, net(pair.expand_dims(0)).asnumpy()[0].mean(axis=0), atol=1e-5)


def test_the_loss_is_the_multi_label_soft_margin_loss():
    settings = Matching.preset("scenes", matching="inter")
    objective = MatchingObjective(settings, 4, [mx.cpu()])
    x, tags = groups(2, 2).asnumpy(), np.random.RandomState(1).randint(0, 2, (2, 2, 4))
    logits = objective.net(nd.array(x)).asnumpy()
    sigmoid = 1 / (1 + np.exp(-logits.astype(np.float64)))
    expected = -np.mean(tags * np.log(sigmoid) + (1 - tags) * np.log(1 - sigmoid))
    assert float(objective((x, tags), mx.cpu())["tags"].asscalar()) == pytest.approx(expected, rel=1e-5)


def test_published_settings():
    s = Matching.preset("voc12")
    assert (s.backbone, s.lr, s.fast_lr_mult, s.momentum, s.weight_decay, s.batch, s.epochs) == (
        "resnet50v1b", 0.1, 10, 0, 1e-4, 16, 5)  # fmt: skip
    assert (s.long_side, s.crop, s.group_size, s.alpha, s.k, s.distance, s.side) == ((320, 640), 512, 2, 1.5, 8, "l2", "cam")
    assert learning_rate(s, 2, 0.5) == pytest.approx(0.1 * (1 - 2.5 / 5) ** 0.9)
    net = MatchingObjective(s, 20, [mx.cpu()]).net
    make_trainer(net, s, "local")
    trained = {name: p for name, p in net.collect_params().items() if p.grad_req != "null"}
    assert not [name for name in trained if name.startswith(("bn_data", "conv0", "bn0", "stage1", "stage2"))]
    assert {name for name, p in trained.items() if p.lr_mult == 10} == {"classifier_weight"}
    assert {"stage3_unit1_sc_weight", "stage3_unit1_sc_bn_gamma", "stage4_unit3_bn3_beta"} < set(trained)
    assert len(trained) == 2 + 3 * (6 * 3 + 3 * 3) + 2 * 3  # weights, gammas and betas of 9 units and 2 projections


def test_long_side_and_window_by_hand():
    image = np.random.RandomState(0).randint(0, 256, (30, 40, 3)).astype(np.uint8)
    assert with_long_side(image, 100).shape == (75, 100, 3) and with_long_side(image[:, :10], 15).shape == (15, 5, 3)
    assert np.array_equal(with_long_side(image, 40), image)
    places = set()
    for seed in range(60):
        window = random_window(image, 35, (1.5, 2.5, 3.5), np.random.default_rng(seed))
        empty = (window == np.float32([1.5, 2.5, 3.5])).all(axis=2)
        rows = np.flatnonzero(~empty.all(axis=1))
        assert window.shape == (35, 35, 3) and len(rows) == 30 and not empty[rows].any()
        left = [x for x in range(6) if np.array_equal(window[rows], image[:, x : x + 35])]
        assert len(left) == 1
        places.add((rows[0], left[0]))
    assert {top for top, _ in places} == set(range(6)) == {left for _, left in places}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    generate(folder, train=20, val=2, size=72, workers=1)
    return folder


def test_examples_are_reproducible_and_their_padding_is_zero_after_normalisation(data):
    dataset = open_dataset(data)
    net = network("none")
    fill = tuple(net.backbone.bn_data.moving_mean.data().asnumpy().tolist())
    examples = LongSideExamples(dataset, 65, (40, 56), fill)
    name = dataset.read_ids("train_aug")[0]
    one, other = examples.make(name, (0, 1)), examples.make(name, (0, 1))
    assert one.dtype == np.float32 and one.shape == (3, 65, 65) and np.array_equal(one, other)
    assert not np.array_equal(one, examples.make(name, (0, 2)))
    normal = net.backbone.bn_data(nd.array(one[None])).asnumpy()[0]
    sides = []
    for seed in range(30):
        picture = examples.make(name, seed)
        covered = (picture != np.float32(fill)[:, None, None]).any(axis=0)
        sides.append(int(max(covered.any(axis=0).sum(), covered.any(axis=1).sum())))
    assert 40 <= min(sides) < 45 and 52 < max(sides) <= 56
    assert (normal == 0).all(axis=0).sum() >= 65**2 - 56**2
    with pytest.raises(ValueError, match=r"long_side: \(5, 3\), expected two whole numbers"):
        LongSideExamples(dataset, 65, (5, 3), fill)


SMALL = ["--preset", "scenes", "--crop", "65", "--long-side", "64,88", "--batch", "4", "--epochs", "2", "--workers", "1"]


def arguments(data, output, *options):
    return ["--method", "comnet", *SMALL, "--init", "random", "--data", str(data), "--output", str(output), *options]


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """A finished small training of COMNet with both matchings."""
    folder = tmp_path_factory.mktemp("trained")
    tool("train_cam", *arguments(data, folder, "--val-list", "val"))
    return folder


def test_training_stopped_and_resumed_is_bit_identical(data, trained, tmp_path):
    command = [sys.executable, str(ROOT / "tools" / "train_cam.py"), *arguments(data, tmp_path)]
    environment = dict(os.environ, PYTHONPATH=str(ROOT))
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=environment)
    deadline = time.monotonic() + 200
    while len(log_lines(tmp_path)) < 3 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    assert process.wait(100) == 128 + signal.SIGTERM, "finished before it was stopped"
    tool("train_cam", *arguments(data, tmp_path, "--resume"))
    one, other = (read_params(folder / "comnet_resnet10-0001.params") for folder in (trained, tmp_path))
    assert set(one) == set(other) and "conv_match_weight" in one
    for name in one:
        assert np.array_equal(one[name].asnumpy(), other[name].asnumpy()), name
    assert np.abs(one["conv_match_weight"].asnumpy()).max() > 0  # it started at zero
    lines = [{k: v for k, v in line.items() if k != "seconds"} for line in log_lines(tmp_path)]
    assert lines == [{k: v for k, v in line.items() if k != "seconds"} for line in log_lines(trained)]
    assert 0 <= read_json(trained / "tags.json")["map"] <= 1


def test_cam_files_are_those_of_the_trained_network(data, trained, tmp_path):
    checkpoint, dataset = trained / "comnet_resnet10-0001.params", open_dataset(data)
    options = ["--preset", "scenes", "--data", data, "--checkpoint", checkpoint, "--list", "val", "--cam-scales", "1"]
    tool("make_seeds", "--method", "comnet", *options, "--output", tmp_path, "--cams-only")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cam", "seeds.json"]
    assert settings_of_run(checkpoint) == Matching.preset("scenes", crop=65, long_side=(64.0, 88.0), batch=4, epochs=2)
    net = load_classifier(checkpoint, "comnet", None, len(dataset.classes) - 1, mx.cpu())
    for name, tags in dataset.read_tags(dataset.read_ids("val")).items():
        class_ids, maps = load_cam(tmp_path / "cam" / f"{name}.npz")
        expected, _ = activation_maps(net, read_image(dataset.image_path(name)), tags, (1.0,))
        assert tuple(class_ids) == tuple(tags)
        np.testing.assert_allclose(maps, expected, atol=2e-3)  # stored as float16


def test_checkpoints_without_their_settings_are_refused(trained, tmp_path):
    with pytest.raises(FileNotFoundError, match="settings.json: no such file; the network of a COMNet checkpoint"):
        load_classifier(tmp_path / "x.params", "comnet", None, 3, mx.cpu())
    write_json(tmp_path / "settings.json", {"settings": {"backbone": "vgg16"}})
    with pytest.raises(ValueError, match="settings.json: not the settings of a COMNet training"):
        settings_of_run(tmp_path / "x.params")
    with pytest.raises(ValueError, match="classifier_weight has shape .* expected"):
        load_classifier(trained / "comnet_resnet10-0001.params", "comnet", None, 3, mx.cpu())
    with pytest.raises(ValueError, match="method: 'irn', expected one of cam, comnet"):
        load_classifier(tmp_path / "x.params", "irn", "vgg16", 3, mx.cpu())


def test_options_belong_to_the_method(data, tmp_path, capsys):
    with pytest.raises(SystemExit):
        tool("train_cam", "--method", "cam", "--alpha", "2", "--init", "random", "--data", data, "--output", tmp_path)
    assert "--alpha" in capsys.readouterr().err
    with pytest.raises(ValueError, match="batch: 4 images, expected a multiple of the group size 3"):
        tool("train_cam", *arguments(data, tmp_path / "three", "--group-size", "3"))
    with pytest.raises(SystemExit):
        tool("train_cam", "--method", "comnet", "--help")
    assert "--long-side" in capsys.readouterr().out
