"""COMNet's training: its crops by hand, stopped and resumed through the tools, its maps, and wrong options."""

import signal

import numpy as np
import pytest
from scripts import tool
from small_training import stopped
from test_training import log_lines

from cian.base.files import read_json, write_json
from cian.base.runtime import mx
from cian.config import Matching
from cian.data.cams import load_cam
from cian.data.images import read_image
from cian.data.long_side import LongSideExamples, random_window, with_long_side
from cian.data.voc import open_dataset
from cian.models.checkpoint import load_checkpoint, named_arrays, read_params, save_checkpoint
from cian.models.comnet import COMNet
from cian.scenes.generate import generate
from cian.seeds.activation import activation_maps
from cian.seeds.classifiers import load_classifier, settings_of_run
from cian.training.objectives import MatchingObjective, filled


def test_long_side_and_window_by_hand():
    image = np.random.RandomState(0).randint(0, 256, (30, 40, 3)).astype(np.uint8)
    assert with_long_side(image, 100).shape == (75, 100, 3) and with_long_side(image[:, :10], 15).shape == (15, 5, 3)
    assert np.array_equal(with_long_side(image, 40), image)
    places = set()
    for seed in range(60):
        window, covered = random_window(image, 35, np.random.default_rng(seed))
        top, bottom, left, right = covered
        assert window.shape == (35, 35, 3) and window.dtype == np.uint8 and bottom - top == 30 and (left, right) == (0, 35)
        rows = np.arange(top, bottom)
        assert not np.delete(window, rows, axis=0).any()
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
    examples = LongSideExamples(dataset, 65, (40, 56))
    name = dataset.read_ids("train_aug")[0]
    (one, part), (other, same) = examples.make(name, (0, 1)), examples.make(name, (0, 1))
    assert one.dtype == np.uint8 and one.shape == (3, 65, 65) and np.array_equal(one, other) and np.array_equal(part, same)
    assert not np.array_equal(one, examples.make(name, (0, 2))[0])
    parts = np.array([examples.make(name, seed)[1] for seed in range(30)])
    sides = (parts[:, 1::2] - parts[:, ::2]).max(axis=1)
    assert 40 <= min(sides) < 45 and 52 < max(sides) <= 56
    with pytest.raises(ValueError, match=r"long_side: \(5, 3\), expected two whole numbers"):
        LongSideExamples(dataset, 65, (5, 3))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_squares_filled_on_the_device_are_those_filled_before(data, dtype):
    """The network sees, to the bit, what it saw when the squares came as float32 with the colour in them."""
    dataset = open_dataset(data)
    objective = MatchingObjective(Matching.preset("scenes", crop=65, batch=4), len(dataset.classes) - 1, [mx.cpu()])
    normalise = objective.net.backbone.bn_data
    normalise.moving_mean.set_data(mx.nd.array([123.675, 116.28, 103.53]))
    objective.net.cast(dtype)
    names = dataset.read_ids("train_aug")[:4]
    for sides in ((40, 56), (50, 80)):
        images, covered = LongSideExamples(dataset, 65, sides).make_batch(names, range(4))
        before = images.astype(np.float32)
        for picture, (top, bottom, left, right) in zip(before, covered):
            outside = np.ones((65, 65), bool)
            outside[top:bottom, left:right] = False
            picture[:, outside] = np.float32([[123.675], [116.28], [103.53]])
        assert (before != images).any()
        fill = normalise.moving_mean.data()
        found = filled(mx.nd.array(images, dtype=dtype), mx.nd.array(covered, dtype=dtype), fill)
        assert np.dtype(found.dtype) == dtype and np.array_equal(found.asnumpy(), before.astype(dtype))
        assert (normalise(found).asnumpy()[before != images] == 0).all()
        tags = np.eye(len(dataset.classes) - 1, dtype=np.float32)[[0, 1, 2, 3]].reshape(2, 2, -1)
        pairs = [array.reshape((2, 2) + array.shape[1:]) for array in (images, covered, before)]
        losses = [objective(batch, mx.cpu())["tags"].asnumpy() for batch in ((pairs[0], tags, pairs[1]), (pairs[2], tags))]
        assert np.array_equal(*losses)


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
    assert stopped(signal.SIGTERM, 3, "train_cam", *arguments(data, tmp_path)) == 128 + signal.SIGTERM
    assert len(log_lines(tmp_path)) == 3
    tool("train_cam", *arguments(data, tmp_path, "--resume"))
    one, other = (read_params(folder / "comnet_resnet10-0001.params") for folder in (trained, tmp_path))
    assert set(one) == set(other) and "conv_match_weight" in one
    for name in one:
        assert np.array_equal(one[name].asnumpy(), other[name].asnumpy()), name
    assert one["conv_match_bias"].shape == one["conv_match_weight"].shape[:1]
    lines = [{k: v for k, v in line.items() if k != "seconds"} for line in log_lines(tmp_path)]
    assert lines == [{k: v for k, v in line.items() if k != "seconds"} for line in log_lines(trained)]
    assert 0 <= read_json(trained / "tags.json")["map"] <= 1


def test_cam_files_are_those_of_the_trained_network(data, trained, tmp_path):
    checkpoint, dataset = trained / "comnet_resnet10-0001.params", open_dataset(data)
    options = ["--preset", "scenes", "--data", data, "--checkpoint", checkpoint, "--list", "val", "--cam-scales", "1"]
    tool("make_seeds", "--method", "comnet", *options, "--output", tmp_path, "--cams-only")
    assert sorted(path.name for path in tmp_path.glob("[!.]*")) == ["cam", "inputs.json", "seeds.json"]
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


NEW = ("match_init", "grouping", "updates")  # what older code did not record


def as_of_older_code(trained, folder):
    """A run folder as older code left it, not to the end: its settings, without the new ones, and a line of log."""
    record = read_json(trained / "settings.json")
    record["settings"] = {name: value for name, value in record["settings"].items() if name not in NEW}
    write_json(folder / "settings.json", record)
    (folder / "log.jsonl").write_text('{"epoch": 0, "step": 0, "tags": 1.0}\n')
    return folder


def test_checkpoints_of_older_code_load_as_they_were(trained, tmp_path):
    old = COMNet("resnet10", 8, "both", batchnorm="trained", match_init="zero")
    old.initialize(mx.init.Xavier())
    save_checkpoint(tmp_path / "old.params", named_arrays(old))
    as_of_older_code(trained, tmp_path)
    settings = settings_of_run(tmp_path / "old.params")
    assert (settings.match_init, settings.grouping, settings.updates) == ("zero", "common", 0)
    net = load_classifier(tmp_path / "old.params", "comnet", None, 8, mx.cpu())
    x = mx.nd.array(np.random.RandomState(0).randint(0, 256, (1, 2, 3, 41, 41)))
    np.testing.assert_allclose(net(x).asnumpy(), old(x).asnumpy(), rtol=1e-5, atol=1e-6)


def test_a_run_begun_by_older_code_is_refused_by_name(data, trained, tmp_path):
    words = "match_init was not known to the code of then, now 'default'"
    with pytest.raises(ValueError, match=f"settings.json: the run was begun differently: .*{words}"):
        tool("train_cam", *arguments(data, as_of_older_code(trained, tmp_path), "--resume"))


def test_matching_at_test_only(data, trained, tmp_path):
    checkpoint, dataset = trained / "comnet_resnet10-0001.params", open_dataset(data)
    assert settings_of_run(checkpoint, "intra").matching == "intra" and settings_of_run(checkpoint).matching == "both"
    options = ["--data", data, "--checkpoint", checkpoint, "--list", "val", "--cam-scales", "1", "--cams-only"]
    tool("make_seeds", *options, "--matching", "intra", "--output", tmp_path / "intra")
    net = COMNet("resnet10", len(dataset.classes) - 1, "intra", batchnorm="trained")  # the same parameters
    net.initialize()
    load_checkpoint(net, checkpoint)
    name, tags = next(iter(dataset.read_tags(dataset.read_ids("val")).items()))
    expected, _ = activation_maps(net, read_image(dataset.image_path(name)), tags, (1.0,))
    np.testing.assert_allclose(load_cam(tmp_path / "intra" / "cam" / f"{name}.npz")[1], expected, atol=2e-3)
    with pytest.raises(ValueError, match="--matching none: .* says both; intra-matching has weights of its own"):
        settings_of_run(checkpoint, "none")
    with pytest.raises(ValueError, match="holds files of another checkpoint or other settings: .*matching was 'intra'"):
        tool("make_seeds", *options, "--output", tmp_path / "intra")


def test_equal_updates_on_groups_with_a_common_class(data, tmp_path):
    few = ("--matching", "none", "--grouping", "common", "--group-size", "2", "--epochs", "1", "--updates")
    tool("train_cam", *arguments(data, tmp_path, *few, "7"))  # 20 images hold 5 batches of 4
    assert [line["step"] for line in log_lines(tmp_path)] == list(range(7))


def test_options_belong_to_the_method(data, tmp_path, capsys):
    with pytest.raises(SystemExit):
        tool("train_cam", "--method", "cam", "--alpha", "2", "--init", "random", "--data", data, "--output", tmp_path)
    assert "--alpha" in capsys.readouterr().err
    with pytest.raises(ValueError, match="batch: 4 images, expected a multiple of the group size 3"):
        tool("train_cam", *arguments(data, tmp_path / "three", "--group-size", "3"))
    with pytest.raises(SystemExit):
        tool("train_cam", "--method", "comnet", "--help")
    assert "--long-side" in capsys.readouterr().out
