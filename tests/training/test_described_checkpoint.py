"""A checkpoint describes itself: trained with options that are not the defaults, it is used without any, and rightly."""

import json

import cv2
import numpy as np
import pytest
from scripts import tool
from small_exports import contents, initialised, random_images
from small_patches import patches, write_list

import cian.export.comparison
from cian.base.files import read_json, write_json
from cian.base.runtime import mx
from cian.data.images import read_image, read_label
from cian.data.voc import VOC_CLASSES, open_dataset
from cian.export.exported import load_export
from cian.export.predictor import Predictor
from cian.figures import affinity_probe
from cian.models.checkpoint import named_arrays, save_checkpoint
from cian.models.cian import CIAN, GroupCIAN
from cian.models.multi_scale import MultiScale

CAT, IDS = 8, ("a", "b", "c", "d")
SMALL = ["--epochs", "1", "--batch", "4", "--crop", "33", "--workers", "0", "--devices", "cpu"]
OLD_FACTS = ("circumstances", "data", "init", "list", "seeds", "settings", "tool")
QUICK = ["--test-size", "33", "--scales", "1", "--flip", "no"]
NOT_DEFAULT = ["--similarity", "cosine", "--merge", "avg", "--merge-self", "no"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return patches(tmp_path_factory.mktemp("data"), IDS, CAT)


@pytest.fixture(scope="module")
def checkpoint(data, tmp_path_factory):
    """Path of the checkpoint of a cosine network, in the run folder of a training of the scenes' preset.

    Its parameters are then replaced by random ones: after one step the residual, which starts at zero, would decide nothing.
    """
    folder = tmp_path_factory.mktemp("run")
    words = ["--preset", "scenes", "--data", data, "--seeds", data / "SegmentationClassAug", "--init", "random"]
    tool("train", *words, *SMALL, *NOT_DEFAULT, "--output", folder)
    save_checkpoint(folder / "cian_resnet10-0000.params", named_arrays(network("cosine")))
    return folder / "cian_resnet10-0000.params"


def network(similarity):
    net = initialised(CIAN("resnet10", 21, similarity=similarity))
    for layer in (net.affinity.query, net.affinity.key, net.affinity.out):  # else dot and cosine are too much alike
        layer.weight.set_data(30 * layer.weight.data())
    weight = net.fc1.weight.data()
    net.fc1.weight.set_data(20 * (weight - weight.mean(axis=1, keepdims=True)))  # several classes win pixels
    return net


def mask_of(data, image_id, similarity, size=177):
    """The mask of an image by a network that is told everything, padded to the scenes' size, with their scales, mirrored."""
    image = read_image(data / "JPEGImages" / f"{image_id}.jpg")
    padded = np.zeros((size, size, 3), np.float32)
    padded[: image.shape[0], : image.shape[1]] = image
    net = MultiScale(network(similarity), (size, size), (0.75, 1.0, 1.25), True)
    logits = net(mx.nd.array(padded.transpose(2, 0, 1)[None]))
    large = mx.nd.contrib.BilinearResize2D(logits, height=size, width=size)[0].asnumpy()
    return large[:, : image.shape[0], : image.shape[1]].argmax(axis=0)


def predict(checkpoint, data, output, *options):
    words = ["--checkpoint", checkpoint, "--data", data, "--output", output, "--crf-iterations", "0", *options]
    tool("predict", *words)
    return {path.stem: read_label(path) for path in (output / "pred").iterdir()}


def test_the_run_says_preset_and_classes(checkpoint):
    record = read_json(checkpoint.parent / "settings.json")
    assert record["preset"] == "scenes" and record["classes"] == list(VOC_CLASSES)


def test_masks_are_those_of_the_networks_own_similarity_and_size(checkpoint, data, tmp_path):
    masks = predict(checkpoint, data, tmp_path / "out")
    for image_id in IDS[:2]:
        assert (masks[image_id] != mask_of(data, image_id, "cosine")).mean() < 0.005
    assert (masks["a"] != mask_of(data, "a", "dot")).mean() > 0.02  # what was silently predicted before
    record = read_json(tmp_path / "out" / "predict.json")
    assert record["network"] == {"backbone": "resnet10", "similarity": "cosine"} and record["settings"]["test_size"] == 177
    assert record["classes"] == list(VOC_CLASSES)


def test_pictures_too(checkpoint, data, tmp_path):
    words = ["--checkpoint", checkpoint, "--output", tmp_path, "--crf-iterations", "0"]
    tool("predict", data / "JPEGImages" / "a.jpg", *words)
    assert (read_label(tmp_path / "pred" / "a.png") != mask_of(data, "a", "cosine")).mean() < 0.005
    with pytest.raises(ValueError, match="--class-names: class 8 is 'tiger', .*settings.json says 'cat'"):
        tool("predict", data / "JPEGImages" / "a.jpg", *words, "--class-names", ",".join(VOC_CLASSES).replace("cat", "tiger"))


@pytest.mark.parametrize("words, message", [
    (["--similarity", "dot"], "--similarity dot: .*settings.json says cosine"),
    (["--backbone", "resnet18"], "--backbone resnet18: .*settings.json says resnet10"),
    (["--preset", "voc12"], "--preset voc12: .*settings.json says scenes")])  # fmt: skip
def test_contradictions_name_both_values(words, message, checkpoint, data, tmp_path):
    pair = ["--pairs", "a:b"]
    for verb in (["predict", "--data", data], ["draw", "affinity", "--data", data, *pair], ["export"]):
        with pytest.raises(ValueError, match=message):
            tool(*verb, "--checkpoint", checkpoint, "--output", tmp_path / "out", *words)
    training = ["--round", "2", "--init", checkpoint, "--data", data, "--seeds", data / "SegmentationClassAug", *SMALL]
    with pytest.raises(ValueError, match=message):
        tool("train", *training, "--output", tmp_path / "out", *words)
    assert not (tmp_path / "out").exists()


def test_data_of_other_classes_are_refused(checkpoint, data, tmp_path):
    names = [name.replace("cat", "tiger") for name in VOC_CLASSES]
    (tmp_path / "data").mkdir()
    for entry in data.iterdir():
        (tmp_path / "data" / entry.name).symlink_to(entry)
    (tmp_path / "data" / "classes.txt").write_text("\n".join(names))
    with pytest.raises(ValueError, match="data: class 8 is 'tiger', .*settings.json says 'cat'"):
        predict(checkpoint, tmp_path / "data", tmp_path / "out")


def test_an_export_is_the_same_network(checkpoint, tmp_path):
    tool("export", "--checkpoint", checkpoint, "--output", tmp_path / "single", "--size", "33,33")
    tool("export", "--checkpoint", checkpoint, "--output", tmp_path / "group", "--size", "33,33", "--group-size", "2")
    net, x = network("cosine"), mx.nd.array(random_images(1, 2, 3, 33, 33))
    block, told = load_export(tmp_path / "single", mx.cpu())
    assert (told["classes"], told["backbone"], told["preset"]) == (list(VOC_CLASSES), "resnet10", "scenes")
    assert Predictor(tmp_path / "single").sides == (33, 33)
    wanted = net(x[0]).asnumpy()
    np.testing.assert_allclose(block(x[0]).asnumpy(), wanted, atol=1e-5 * np.abs(wanted).max())
    found = load_export(tmp_path / "group", mx.cpu())[0](x)[1].asnumpy()
    wanted, other = (GroupCIAN(net, 2, *merge)(x)[1].asnumpy() for merge in (("avg", False), ("max", True)))
    np.testing.assert_allclose(found, wanted, atol=1e-5 * np.abs(wanted).max())
    assert np.abs(found - other).max() > 1e-3 * np.abs(wanted).max()  # what was silently exported before
    with pytest.raises(ValueError, match="--group-size 3: .*settings.json says 2"):
        tool("export", "--checkpoint", checkpoint, "--output", tmp_path / "three", "--group-size", "3")


def test_an_export_of_free_size_predicts_at_the_size_of_its_preset(checkpoint, data, tmp_path):
    tool("export", "--checkpoint", checkpoint, "--output", tmp_path / "x")
    assert Predictor(tmp_path / "x").sides == (177, 177) and Predictor(tmp_path / "x", size=65).sides == (65, 65)
    words = [data / "JPEGImages" / "a.jpg", "--model", tmp_path / "x", "--output", tmp_path / "out"]
    with pytest.raises(ValueError, match="--preset voc12: .*x-symbol.json says scenes"):
        tool("predict", *words, "--preset", "voc12")
    tool("predict", *words, "--crf-iterations", "1")
    settings = read_json(tmp_path / "out" / "predict.json")["settings"]
    assert (settings["test_size"], settings["crf"]) == (177, "pruned")
    padded = np.zeros((1, 3, 177, 177), np.float32)
    padded[0, :, :40, :48] = read_image(data / "JPEGImages" / "a.jpg").transpose(2, 0, 1)
    logits = mx.nd.contrib.BilinearResize2D(network("cosine")(mx.nd.array(padded)), height=177, width=177)[0].asnumpy()
    assert (read_label(tmp_path / "out" / "pred" / "a.png") != logits[:, :40, :48].argmax(axis=0)).mean() < 0.005


def test_the_figure_shows_the_network_as_it_was_trained(checkpoint, data, tmp_path, monkeypatch):
    seen, made = {}, affinity_probe.AffinityProbe.__init__

    def note(self, net, merge, with_self):
        seen.update(cosine=net.affinity._cosine, merge=merge, with_self=with_self)
        made(self, net, merge, with_self)

    monkeypatch.setattr(affinity_probe.AffinityProbe, "__init__", note)
    tool("draw", "affinity", "--checkpoint", checkpoint, "--data", data, "--pairs", "a:b", "--output", tmp_path)
    assert seen == {"cosine": True, "merge": "avg", "with_self": False}
    record = read_json(tmp_path / "draw.json")
    assert [record[key] for key in ("backbone", "similarity", "merge", "merge_self")] == ["resnet10", "cosine", "avg", False]


def test_the_benchmark_of_exports_too(checkpoint, data, monkeypatch, capsys):
    nets = []

    def compare(net, method, images, progress):
        nets.append(net)
        return {"images": len(images), "size": "33x33", "threads": "1", "ways": {}}

    monkeypatch.setattr(cian.export.comparison, "compare_export", compare)
    words = ["export", "--data", str(data), "--images", "1", "--size", "33", "--checkpoint"]
    tool("benchmark", *words, checkpoint)
    x = mx.nd.array(random_images(1, 3, 33, 33))
    np.testing.assert_allclose(nets[0](x).asnumpy(), network("cosine")(x).asnumpy(), rtol=1e-4)
    assert "cian resnet10" in capsys.readouterr().out
    with pytest.raises(ValueError, match="--backbone: missing, expected with random weights"):
        tool("benchmark", *words, "random")


def test_round_two_goes_on_with_the_network_of_round_one(checkpoint, data, tmp_path):
    words = ["--data", data, "--seeds", data / "SegmentationClassAug", "--init", checkpoint, "--output", tmp_path]
    tool("train", "--round", "2", *words, *SMALL)
    first, second = (read_json(folder / "settings.json") for folder in (checkpoint.parent, tmp_path))
    assert second["settings"] == {**first["settings"], "round": 2}
    assert second["preset"] == "scenes"


def test_seeds_need_only_the_classifier(data, tmp_path):
    words = ["--preset", "scenes", "--data", data, "--init", "random", *SMALL, "--output", tmp_path / "cam"]
    tool("train_cam", *words)
    common = ["--checkpoint", tmp_path / "cam" / "cam_resnet10-0000.params", "--data", data, "--list", "val", "--workers", "1"]
    tool("make_seeds", *common, "--output", tmp_path / "seeds", "--cams-only")
    record = read_json(tmp_path / "seeds" / "seeds.json")
    assert record["network"] == {"method": "cam", "backbone": "resnet10"}
    assert record["made_with"]["cam_scales"] == [1.0, 1.5]
    assert read_json(tmp_path / "seeds" / "inputs.json")["b"]["tags"] == [CAT]
    for option, given, told in (("method", "comnet", "cam"), ("backbone", "vgg16", "resnet10"), ("preset", "voc12", "scenes")):
        with pytest.raises(ValueError, match=f"--{option} {given}: .*settings.json says {told}"):
            tool("make_seeds", *common, f"--{option}", given, "--output", tmp_path / "other")


def test_a_run_begun_by_older_code_goes_on(data, tmp_path, caplog):
    """Its settings.json names neither preset nor classes; its settings and its data say the same."""
    words = ["--preset", "scenes", "--data", data, "--seeds", data / "SegmentationClassAug", "--init", "random", *SMALL]
    tool("train", *words, "--output", tmp_path)
    path = tmp_path / "settings.json"
    old = {key: value for key, value in read_json(path).items() if key in OLD_FACTS}
    write_json(path, old)
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    tool("train", *words, "--output", tmp_path, "--resume")
    assert read_json(path) == old and (tmp_path / "log.jsonl").read_text().splitlines() == lines
    assert json.loads(lines[-1])["epoch"] == 0
    with pytest.raises(ValueError, match="the run was begun differently: epochs was 1, now 2"):
        tool("train", *words, "--epochs", "2", "--output", tmp_path, "--resume")
    write_json(path, {**old, "preset": "animals"})
    with pytest.raises(ValueError, match="the run was begun differently: preset was 'animals', now 'scenes'"):
        tool("train", *words, "--output", tmp_path, "--resume")


def test_predictions_of_other_data_are_not_kept(checkpoint, data, tmp_path):
    """Other images of the same ids, and other tags that filter the classes; both were kept once."""
    dataset, tags = open_dataset(data), {}
    for name in ("cat", "dog"):
        tags[name] = tmp_path / f"{name}.csv"
        tags[name].write_text(f"id,{name}\n" + "".join(f"{i},1\n" for i in IDS))
    filtered = [*QUICK, "--filter-tags", "--tags"]
    masks = predict(checkpoint, data, tmp_path / "out", *filtered, tags["cat"])
    assert set(np.unique(masks["a"])) <= {0, CAT}
    before = contents(tmp_path / "out")
    with pytest.raises(ValueError, match=r"files of other data: of a tags was \[8\], now \[12\] \(2 of 2 ids differ"):
        predict(checkpoint, data, tmp_path / "out", *filtered, tags["dog"])
    with pytest.raises(ValueError, match="other settings: filter_tags was True, now False"):
        predict(checkpoint, data, tmp_path / "out", *QUICK)
    image = dataset.image_path("b")
    whole = image.read_bytes()
    try:
        cv2.imwrite(str(image), cv2.imread(str(image))[::-1])
        with pytest.raises(ValueError, match=r"files of other data: of b image was '.*\.\.\.', now '.*' \(1 of 2 ids differ"):
            predict(checkpoint, data, tmp_path / "out", *filtered, tags["cat"])
    finally:
        image.write_bytes(whole)
    assert contents(tmp_path / "out") == before
    write_list(data, "more", IDS)
    assert sorted(predict(checkpoint, data, tmp_path / "out", *filtered, tags["cat"], "--list", "more")) == sorted(IDS)


def test_a_folder_of_older_code_says_what_is_missing(checkpoint, data, tmp_path):
    predict(checkpoint, data, tmp_path / "out", *QUICK)
    path = tmp_path / "out" / "predict.json"
    write_json(path, {key: read_json(path)[key] for key in ("checkpoint", "fit", "filter_tags", "settings")})
    with pytest.raises(ValueError, match="predict.json is of older code, which did not record classes, network"):
        predict(checkpoint, data, tmp_path / "out", *QUICK)
