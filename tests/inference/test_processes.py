"""predict, make_seeds and refine in several processes, in shards and interrupted: the files are those of one process."""


import pytest
from scripts import one_thread, tool
from small_seeds import IDS, options, save_classifier, six_images

from cian.base.files import read_json
from cian.base.runtime import mx
from cian.models.checkpoint import named_arrays, save_checkpoint
from cian.models.cian import CIAN
from cian.models.irn import IRN


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return six_images(tmp_path_factory.mktemp("data") / "voc")


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """{tool: checkpoint} of small networks with random weights."""
    folder = tmp_path_factory.mktemp("checkpoints")
    found = {"make_seeds": save_classifier(folder)}
    for name, net in (("predict", CIAN("resnet10", 21)), ("refine", IRN("resnet10"))):
        mx.random.seed(0)
        net.initialize(mx.init.Xavier())
        net(mx.nd.zeros((1, 3, 64, 64)))
        found[name] = folder / f"{name}-0000.params"
        save_checkpoint(found[name], named_arrays(net))
    return found


@pytest.fixture(scope="module")
def commands(data, checkpoints, tmp_path_factory):
    """{tool: its options but --output}."""
    cams = tmp_path_factory.mktemp("cams")
    tool("make_seeds", *options(data, checkpoints["make_seeds"], cams, "--cams-only"))
    common = ["--data", data, "--backbone", "resnet10", "--devices", "cpu", "--list", "train_aug"]
    small = ["--test-size", "65", "--scales", "1", "--crf-iterations", "1"]
    walk = ["--cams", cams / "cam", "--boundary-size", "64"]
    return {
        "predict": [*common, "--checkpoint", checkpoints["predict"], *small],
        "make_seeds": [*common, "--checkpoint", checkpoints["make_seeds"], "--cam-scales", "1", "--workers", "1"],
        "refine": [*common, "--checkpoint", checkpoints["refine"], *walk],
    }


def files(folder):
    """{name: bytes} of all files but the hidden ones."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


@pytest.mark.parametrize("name", ["predict", "make_seeds", "refine"])
def test_shards_fill_a_folder_with_the_same_files(commands, tmp_path, name):
    tool(name, *commands[name], "--output", tmp_path / "whole")
    for part in ("2/2", "1/2"):
        tool(name, *commands[name], "--output", tmp_path / "parts", "--shard", part)
        if part == "2/2":
            done = {path.stem for path in (tmp_path / "parts").rglob("*.png")}
            assert done == set(IDS[1::2])
    whole, parts = files(tmp_path / "whole"), files(tmp_path / "parts")
    assert len(whole) > len(IDS) and set(whole) == set(parts)
    inputs = "inputs.json"  # in another order
    assert read_json(tmp_path / "whole" / inputs) == read_json(tmp_path / "parts" / inputs)
    assert all(whole[path] == parts[path] for path in whole if path != inputs)


@one_thread  # both have as many then, on which the rounding of sums depends
def test_two_processes_write_the_files_of_one(commands, tmp_path):
    tool("predict", *commands["predict"], "--output", tmp_path / "one", "--processes", "1")
    (tmp_path / "two" / "pred").mkdir(parents=True)
    tool("predict", *commands["predict"], "--output", tmp_path / "two", "--processes", "2")
    assert files(tmp_path / "one") == files(tmp_path / "two")
    (tmp_path / "two" / "pred" / "c.png").unlink()
    tool("predict", *commands["predict"], "--output", tmp_path / "two", "--processes", "3", "--workers", "3")  # one image: here
    assert files(tmp_path / "one") == files(tmp_path / "two")


def test_errors_of_worker_processes_are_their_own(commands, data, tmp_path):
    words = [str(word) for word in commands["predict"]]
    words[words.index("--backbone") + 1] = "resnet50"
    with pytest.raises(ValueError, match="predict-0000.params: does not fit the network"):
        tool("predict", *words, "--output", tmp_path / "out")
    assert not list(tmp_path.rglob("predict.json"))
    with pytest.raises(ValueError, match="--submission: packs the whole list"):
        tool("predict", *commands["predict"], "--output", tmp_path, "--submission", tmp_path / "a.tgz", "--shard", "1/2")
    assert not files(tmp_path)
