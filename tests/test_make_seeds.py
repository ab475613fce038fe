"""tools/make_seeds.py end to end with a small classifier of random weights: substitution, odd and bad input, interruption."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image
from scripts import tool
from small_training import ROOT
from voc_trees import write_annotation, write_dataset, write_image

from cian.data.images import read_label, write_label
from cian.files import read_json, write_text
from cian.models.cam import CAM
from cian.models.checkpoint import named_arrays, save_checkpoint
from cian.runtime import mx
from cian.saliency import read_saliency
from cian.seeds import load_cam

CAT, PERSON = 8, 15
IDS = ["a", "b", "c", "d", "e", "f"]
LABEL = np.zeros((40, 48), np.uint8)
LABEL[5:30, 8:40], LABEL[20:35, 30:45], LABEL[0, 0] = CAT, PERSON, 255


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    path = tmp_path_factory.mktemp("classifier") / "cam_resnet10-0000.params"
    net = CAM("resnet10", 20)
    mx.random.seed(0)
    net.initialize(mx.init.Xavier())
    net(mx.nd.zeros((1, 3, 32, 32)))
    save_checkpoint(path, named_arrays(net))
    return path


@pytest.fixture
def data(tmp_path):
    root = write_dataset(tmp_path / "data", {"train_aug": dict.fromkeys(IDS, LABEL)})
    for number, name in enumerate(IDS):
        write_image(root / "JPEGImages" / f"{name}.jpg", *LABEL.shape, seed=number)
    return root


def options(data, classifier, output, *more):
    common = ["--data", data, "--checkpoint", classifier, "--backbone", "resnet10", "--output", output, "--workers", "1"]
    return [str(word) for word in [*common, "--cam-scales", "0.5,1", *more]]


def make(data, classifier, output, *more):
    """Run make_seeds; the seeds it wrote as {id: label}."""
    tool("make_seeds", *options(data, classifier, output, *more))
    return {path.stem: read_label(path) for path in sorted((output / "seeds").glob("*.png"))}


def test_substitution_is_nested_recorded_and_leaves_nothing_behind(data, classifier, tmp_path):
    plain = make(data, classifier, tmp_path / "plain")
    drawn = {}
    for share, count in ((0.5, 3), (0.17, 1), (0.0, 0)):
        seeds = make(data, classifier, tmp_path / "out", "--substitute", share, "--substitute-seed", "4")
        recipe = read_json(tmp_path / "out" / "recipe.json")
        drawn[share] = recipe["substituted"]
        assert (recipe["substitute"], recipe["substitute_seed"], len(drawn[share])) == (share, 4, count)
        for name in IDS:
            assert np.array_equal(seeds[name], LABEL if name in drawn[share] else plain[name])
    assert set(drawn[0.17]) < set(drawn[0.5])


def test_an_interrupted_change_of_the_recipe_leaves_no_old_seed(data, classifier, tmp_path):
    make(data, classifier, tmp_path / "out", "--substitute", "0.5")
    old = read_json(tmp_path / "out" / "recipe.json")["substituted"]
    broken = next(name for name in IDS if name not in old)
    path = tmp_path / "out" / "cam" / f"{broken}.npz"
    saliency = tmp_path / "out" / "saliency" / f"{broken}.png"
    saliency.write_bytes(b"cut")
    with pytest.raises(ValueError, match=f"{broken}.png: cannot be decoded"):
        make(data, classifier, tmp_path / "out", "--substitute", "0")
    for seed in (tmp_path / "out" / "seeds").iterdir():
        assert not np.array_equal(read_label(seed), LABEL)
    assert not (tmp_path / "out" / "seeds" / f"{broken}.png").exists() and path.exists()


def test_substitution_needs_good_masks(data, classifier, tmp_path):
    (data / "SegmentationClassAug" / "d.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"d.png: no such mask, needed by --substitute \(1 missing\)"):
        make(data, classifier, tmp_path / "out", "--substitute", "1")
    write_label(data / "SegmentationClassAug" / "d.png", LABEL[:-1])
    with pytest.raises(ValueError, match=r"d.png: expected the size of its image, \(40, 48\) \(H, W\), found \(39, 48\)"):
        make(data, classifier, tmp_path / "out", "--substitute", "1")
    with pytest.raises(ValueError, match="share: expected a fraction"):
        make(data, classifier, tmp_path / "out", "--substitute", "5")


def test_overlap_largest_labels_what_ignore_leaves(data, classifier, tmp_path):
    ignore = make(data, classifier, tmp_path / "out", "--cam-threshold", "0.1")
    largest = make(data, classifier, tmp_path / "out", "--cam-threshold", "0.1", "--overlap", "largest")
    decided = 0
    for name in IDS:
        differ = ignore[name] != largest[name]
        class_ids, maps = load_cam(tmp_path / "out" / "cam" / f"{name}.npz")
        assert tuple(class_ids) == (CAT, PERSON) and maps.shape == (2, 5, 6)
        assert (ignore[name][differ] == 255).all() and set(np.unique(largest[name][differ])) <= {CAT, PERSON}
        decided += differ.sum()
    assert decided > 0


def test_maps_from_elsewhere_have_the_papers_threshold(data, classifier, tmp_path):
    for name in IDS:
        values = np.full(LABEL.shape, 200, np.uint8)
        values[:, :10], values[:, 10:20] = 15, 16  # 0.059 and 0.063
        (tmp_path / "maps").mkdir(exist_ok=True)
        Image.fromarray(values).save(str(tmp_path / "maps" / f"{name}_DRFI.png"))
    for extra in ((), ("--saliency", "mbd")):
        seeds = make(data, classifier, tmp_path / "-".join(("out", *extra)), "--saliency-maps", tmp_path / "maps", *extra)
        for seed in seeds.values():
            assert (seed[:, :10] == 0).any() and not (seed[:, 10:] == 0).any()


def test_cams_of_other_tags_are_made_again(data, classifier, tmp_path):
    make(data, classifier, tmp_path / "out")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "cam").iterdir()}
    write_annotation(data / "Annotations" / "b.xml", ["person"])
    seeds = make(data, classifier, tmp_path / "out")
    assert CAT not in seeds["b"]
    assert [path.stem for path, stamp in before.items() if path.stat().st_mtime_ns != stamp] == ["b"]


def jpeg(path, array, mode):
    Image.fromarray(array, mode=mode).save(str(path), format="JPEG", quality=95)


def odd_image(kind, path):
    """Write an unusual image in place of a JPEG; the size it has."""
    random = np.random.RandomState(0)
    grey = random.randint(0, 256, (40, 48)).astype(np.uint8)
    if kind == "grey":
        jpeg(path, grey, "L")
    elif kind == "CMYK":
        jpeg(path, random.randint(0, 256, (40, 48, 4)).astype(np.uint8), "CMYK")
    elif kind == "black":
        jpeg(path, np.zeros((40, 48, 3), np.uint8), "RGB")
    elif kind == "transparent":
        Image.fromarray(random.randint(0, 256, (40, 48, 4)).astype(np.uint8)).save(str(path), format="PNG")
    elif kind == "palette":
        Image.fromarray(grey, mode="P").save(str(path), format="PNG")
    else:
        grey = grey.ravel()[: int(np.prod(kind))].reshape(kind)
        jpeg(path, grey, "L")
    return grey.shape


@pytest.mark.parametrize("kind", ["grey", "CMYK", "black", "transparent", "palette", (1, 1), (1, 48), (40, 1), (3, 2)])
def test_odd_images_get_seeds_of_their_size(data, classifier, tmp_path, kind):
    size = odd_image(kind, data / "JPEGImages" / "c.jpg")
    seed = make(data, classifier, tmp_path / "out")["c"]
    assert seed.shape == size and set(np.unique(seed)) <= {0, CAT, PERSON, 255}
    class_ids, maps = load_cam(tmp_path / "out" / "cam" / "c.npz")
    salient = read_saliency(tmp_path / "out" / "saliency" / "c.png", size)
    assert tuple(class_ids) == (CAT, PERSON) and maps.shape[1:] == tuple((side + 7) // 8 for side in size)
    if kind in ("black", (1, 1)):
        assert not salient.any() and set(np.unique(seed)) <= {0, 255}  # nothing stands out: CAM conflicts with background
    assert tool("prepare_data", "check", "--data", data, "--list", "train_aug", "--masks", tmp_path / "out" / "seeds") == 0


def test_16_bit_and_cmyk_give_the_seeds_of_the_same_picture_in_8_bits(data, classifier, tmp_path):
    grey = np.random.RandomState(1).randint(0, 256, (40, 48)).astype(np.uint8)
    Image.fromarray(grey).save(str(data / "JPEGImages" / "a.jpg"), format="PNG")
    Image.fromarray(grey.astype(np.uint16) * 257).save(str(data / "JPEGImages" / "b.jpg"), format="PNG")
    jpeg(data / "JPEGImages" / "c.jpg", np.random.RandomState(2).randint(0, 256, (40, 48, 4)).astype(np.uint8), "CMYK")
    with Image.open(str(data / "JPEGImages" / "c.jpg")) as image:
        image.convert("RGB").save(str(data / "JPEGImages" / "d.jpg"), format="PNG")
    seeds = make(data, classifier, tmp_path / "out")
    assert np.array_equal(seeds["a"], seeds["b"]) and np.array_equal(seeds["c"], seeds["d"])
    assert not np.array_equal(seeds["a"], seeds["c"])


def write_maps(data, names=IDS, size=LABEL.shape, mode="L"):
    (data / "maps").mkdir()
    for name in names:
        Image.new(mode, size[::-1], 9 if mode == "L" else (9, 99, 199)).save(str(data / "maps" / f"{name}.png"))


MAPS, CSV = ("--saliency-maps", "{data}/maps"), ("--tags", "{data}/tags.csv")
BAD = [
    ((), lambda d: write_annotation(d / "Annotations" / "b.xml", ["unicorn"]), "b.xml: unknown class 'unicorn', expected"),
    ((), lambda d: write_annotation(d / "Annotations" / "b.xml", []), "b.xml: .*image without tags cannot be used"),
    ((), lambda d: (d / "Annotations" / "b.xml").unlink(), "b.xml: no such annotation file"),
    (CSV, lambda d: write_text(d / "tags.csv", "id,cat,unicorn\na,1,0\n"), "tags.csv: unknown class 'unicorn'"),
    (CSV, lambda d: write_text(d / "tags.csv", "id,cat\n" + "".join(f"{i},{i != 'e':d}\n" for i in IDS)), "'e' has no tag"),
    ((), lambda d: (d / "JPEGImages" / "b.jpg").unlink(), "b.jpg: no such image file"),
    ((), lambda d: (d / "JPEGImages" / "b.jpg").write_bytes(b""), "b.jpg: cannot be decoded as an image"),
    (
        (),
        lambda d: (d / "JPEGImages" / "b.jpg").write_bytes((d / "JPEGImages" / "b.jpg").read_bytes()[:700]),
        "b.jpg: cannot be",
    ),
    (MAPS, lambda d: None, "maps: no such folder of saliency maps"),
    (MAPS, lambda d: write_maps(d, IDS[:4]), "no saliency map of 2 of 6 images, the first e"),
    (
        MAPS,
        lambda d: write_maps(d, size=(40, 47)),
        r"a.png: expected the size of its image, \(40, 48\) \(H, W\), found \(40, 47\)",
    ),
    (MAPS, lambda d: write_maps(d, mode="RGB"), "a.png: expected a grey saliency map, found an image of mode RGB"),
    (("--saliency", "drfi"), lambda d: None, "saliency: 'drfi', expected one of mbd-warm"),
    (
        (),
        lambda d: write_text(d / "classes.txt", "background\ncat\nperson\n"),
        r"classifier_weight has shape \(20, .*expected \(2,",
    ),
]


@pytest.mark.parametrize("more, change, message", BAD)
def test_bad_input_is_named(data, classifier, tmp_path, more, change, message):
    change(data)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        make(data, classifier, tmp_path / "out", *[word.format(data=data) for word in more])
    assert not (tmp_path / "out" / "seeds").exists()
    if "size" in message:
        assert not (tmp_path / "out" / "cam").exists()  # found before the classifier has run


def test_a_killed_run_goes_on_to_the_same_result(data, classifier, tmp_path):
    for number, name in enumerate(IDS):
        write_image(data / "JPEGImages" / f"{name}.jpg", 160, 200, seed=number)
    more = ["--cam-scales", "1,2"]
    whole = make(data, classifier, tmp_path / "whole", *more)
    command = [sys.executable, str(ROOT / "tools" / "make_seeds.py"), *options(data, classifier, tmp_path / "out", *more)]
    process = subprocess.Popen(command, env=dict(os.environ, PYTHONPATH=str(ROOT)), stderr=subprocess.DEVNULL)
    cams = tmp_path / "out" / "cam"
    while process.poll() is None and not (cams.is_dir() and list(cams.glob("[a-f].npz"))):
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = {path: path.stat().st_mtime_ns for path in cams.glob("[a-f].npz")}
    assert 0 < len(done) < len(IDS) and not (tmp_path / "out" / "seeds").exists()
    again = make(data, classifier, tmp_path / "out", *more)
    assert sorted(again) == IDS and all(np.array_equal(again[name], whole[name]) for name in IDS)
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in done.items())
    with pytest.raises(ValueError, match="holds files of another checkpoint or other settings"):
        make(data, classifier, tmp_path / "out")


def test_seeds_from_the_maps_of_another_run(data, classifier, tmp_path):
    plain = make(data, classifier, tmp_path / "plain", "--saliency", "mbd")
    common = ["--data", data, "--maps", tmp_path / "plain", "--workers", "1", "--output"]
    tool("make_seeds", *map(str, [*common, tmp_path / "again"]))
    for name in IDS:
        assert np.array_equal(read_label(tmp_path / "again" / "seeds" / f"{name}.png"), plain[name])
    assert not (tmp_path / "again" / "cam").exists()
    tool("make_seeds", *map(str, [*common, tmp_path / "half", "--substitute", "0.5"]))
    drawn = read_json(tmp_path / "half" / "recipe.json")["substituted"]
    for name in IDS:
        expected = LABEL if name in drawn else plain[name]
        assert np.array_equal(read_label(tmp_path / "half" / "seeds" / f"{name}.png"), expected)
    (tmp_path / "plain" / "cam" / "c.npz").unlink()
    with pytest.raises(FileNotFoundError, match="cam: no activation maps of 1 of 6 ids, such as c"):
        tool("make_seeds", *map(str, [*common, tmp_path / "third"]))
    with pytest.raises(FileNotFoundError, match="seeds.json: no such file; expected --maps"):
        tool("make_seeds", "--data", str(data), "--maps", str(tmp_path), "--output", str(tmp_path / "fourth"))
