"""tools/predict.py on any picture: masks and overlays of every kind, memory that does not grow with it, files that stay."""

import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from scripts import tool
from small_exports import contents, initialised, make
from small_pictures import picture
from small_training import ROOT
from voc_trees import write_image

from cian.base.runtime import mx
from cian.data.images import read_image, read_label
from cian.export.symbols import build
from cian.models.checkpoint import named_arrays, save_checkpoint

PREDICT = ROOT / "tools" / "predict.py"
OPTIONS = ["--preset", "scenes", "--test-size", "65", "--crf-iterations", "0", "--flip", "no", "--scales", "1"]
LARGE = (9000, 6750)  # width and height: 61 million pixels, 243 MB when they are decoded at 4 bytes a pixel
MORE = 190  # MB that such a JPEG may take beyond a small one; its label map alone is 61


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A checkpoint of the scenes' network with two classes, both of which win pixels."""
    mx.random.seed(0)
    net = build("cian", "resnet10", 2)
    net.initialize(mx.init.Xavier())
    weight = net.fc1.weight.data()
    net.fc1.weight.set_data(20 * (weight - weight.mean(axis=1, keepdims=True)))
    path = tmp_path_factory.mktemp("checkpoint") / "n.params"
    save_checkpoint(path, named_arrays(net))
    return path


def kinds(folder):
    """Pictures of many kinds written into a folder: {name: (height, width) as a person sees it}."""
    whole = Image.fromarray(picture())
    turned = Image.Exif()
    turned[0x0112] = 6
    whole.rotate(90, expand=True).save(folder / "exif.jpg", exif=turned)
    grey = whole.convert("L")
    grey.save(folder / "grey.jpg")
    Image.fromarray(np.asarray(grey).astype(np.uint16) * 257).save(folder / "deep.png")
    grey.convert("1").save(folder / "bits.png")
    alpha = whole.convert("RGBA")
    alpha.putalpha(128)
    alpha.save(folder / "alpha.png")
    whole.convert("CMYK").save(folder / "cmyk.jpg")
    whole.quantize(16).save(folder / "colours.gif")
    whole.resize((1, 1)).save(folder / "dot.png")
    whole.resize((3, 200)).save(folder / "line.png")
    sizes = {"dot": (1, 1), "line": (200, 3)}
    return {path.stem: sizes.get(path.stem, (50, 60)) for path in folder.iterdir()}


def test_every_kind_of_picture(checkpoint, tmp_path):
    (tmp_path / "in").mkdir()
    sizes = kinds(tmp_path / "in")
    tool("predict", *sorted((tmp_path / "in").iterdir()), "--checkpoint", checkpoint, "--output", tmp_path / "out", *OPTIONS)
    labels = {name: read_label(tmp_path / "out" / "pred" / f"{name}.png") for name in sizes}
    assert len(sizes) == 9 and {name: label.shape for name, label in labels.items()} == sizes
    assert len(np.unique(labels["cmyk"])) == 2
    assert (labels["exif"] == labels["cmyk"]).mean() > 0.9  # the same picture, turned back
    assert (labels["grey"] == labels["deep"]).mean() > 0.9
    for name in sizes:  # with a title above, a legend below
        assert min(read_image(tmp_path / "out" / "overlay" / f"{name}.png").shape[:2]) >= 180


#: a small process between, because a process counts the memory of the one that started it as its own
MEASURE = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=sys.stderr)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def peak_memory(path, checkpoint, output):
    """Peak memory of predict.py on one picture, in MB."""
    command = [sys.executable, "-c", MEASURE, sys.executable, str(PREDICT), str(path), "--checkpoint", str(checkpoint)]
    command += ["--output", str(output), *OPTIONS]
    result = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ, PYTHONPATH=str(ROOT)))
    assert result.returncode == 0, result.stderr[-2000:]
    return int(result.stdout) * (1024 if sys.platform.startswith("linux") else 1) / 1e6  # Linux counts kilobytes


def test_memory_of_a_very_large_photograph(checkpoint, tmp_path):
    Image.fromarray(picture()).save(tmp_path / "small.jpg")
    Image.fromarray(picture(90, 120)).resize(LARGE, Image.NEAREST).save(tmp_path / "large.jpg", quality=50)
    small = peak_memory(tmp_path / "small.jpg", checkpoint, tmp_path / "out")
    large = peak_memory(tmp_path / "large.jpg", checkpoint, tmp_path / "out")
    sys.stdout.write(f"peak memory: small picture {small:.0f} MB, {LARGE[0]}x{LARGE[1]} JPEG {large:.0f} MB\n")
    with Image.open(tmp_path / "out" / "pred" / "large.png") as label:
        assert label.size == LARGE and label.mode == "P"
    assert large - small < MORE


def test_predicting_with_a_broken_export_writes_nothing(tmp_path):
    old = tmp_path / "x"
    make(initialised(build("largefov", "resnet10", 2)), old, "largefov", "ab", [np.ones((1, 3, 33, 33), np.float32)])
    write_image(tmp_path / "a.png", 20, 30)
    params = tmp_path / "x-0000.params"
    whole = params.read_bytes()
    words = [tmp_path / "a.png", "--model", old, "--output", tmp_path / "out", "--test-size", "33"]
    for broken, message in (
        (whole[: len(whole) // 2], r"x-0000\.params: not a complete \.params file"),
        (b"GIF89a is no parameter file", r"x-0000\.params: not a complete \.params file"),
    ):
        params.write_bytes(broken)
        with pytest.raises(ValueError, match=message):
            tool("predict", *words)
    net = build("cian", "resnet10", 2)
    net.initialize()
    mx.nd.save(str(params), named_arrays(net))  # with an affinity block, which the symbol does not have
    with pytest.raises(ValueError, match=r"x-0000\.params: does not fit .*x-symbol\.json: unexpected bn_out_beta"):
        tool("predict", *words)
    assert not (tmp_path / "out").exists()


def test_pictures_of_one_name_do_not_replace_each_other(checkpoint, tmp_path):
    words = ["--checkpoint", checkpoint, "--output", tmp_path / "out", *OPTIONS, "--test-size", "33"]
    for seed, folder in enumerate(("one", "two")):
        write_image(tmp_path / folder / "a.png", 20, 30, seed)
    tool("predict", tmp_path / "one" / "a.png", *words)
    (tmp_path / "out" / "overlay" / "a.png").write_bytes(b"kept")
    before = contents(tmp_path / "out")
    tool("predict", tmp_path / "one" / "a.png", *words)  # finished already
    with pytest.raises(ValueError, match=r"two/a\.png: .*out holds the mask of another picture a \(pictures.json\); use"):
        tool("predict", tmp_path / "two" / "a.png", *words)
    with pytest.raises(ValueError, match=r"two/a\.png: would be written as a\.png, as .*one/a\.png"):
        tool("predict", tmp_path / "one" / "a.png", tmp_path / "two" / "a.png", *words)
    assert contents(tmp_path / "out") == before
    Image.new("L", (5, 4)).save(str(tmp_path / "b.png"))
    tool("predict", tmp_path / "one" / "a.png", tmp_path / "b.png", *words)
    assert set(contents(tmp_path / "out")) - set(before) == {"pred/b.png", "overlay/b.png"}
