"""Checkpoints exchanged with the published code, by running it: its network reads ours, ours reads its own, on real images.

Needs the published code (github js-fan/CIAN, fetched, not part of this repository) in the folder CIAN_PUBLISHED, and the
development data; a minute or two on one processor.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from published import inference_parameter

from cian.base.runtime import mx
from cian.data.images import read_image, read_label
from cian.data.voc import open_dataset
from cian.export.predictor import Predictor
from cian.export.symbols import build
from cian.inference.crf import dense_crf
from cian.inference.segmenter import Segmenter, load_network
from cian.models.checkpoint import read_params, save_checkpoint

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = "scripts/train_infer_segment.py"
BACKBONE = os.environ.get("CIAN_PUBLISHED_BACKBONE", "resnet50")  # or resnet101
MODEL = f"{BACKBONE}_largefov"


@pytest.fixture(scope="module")
def published():
    """Run a program of the published code with these arguments; its recorded logits, or None."""
    folder = os.environ.get("CIAN_PUBLISHED", "")
    if not (folder and (Path(folder) / PROGRAM).is_file()):
        pytest.skip(f"no published code: CIAN_PUBLISHED is {folder!r}, expected a folder with {PROGRAM} of github js-fan/CIAN")

    def run(tmp_path, *arguments):
        record = tmp_path / "record.npz"
        command = [sys.executable, str(ROOT / "tests" / "published_code.py"), folder, PROGRAM, str(record)]
        result = finished(command + [str(argument) for argument in arguments])
        for fault in ("Find missing", "Find extra", "Find mismatch", "Bad params"):
            assert "--infer" not in arguments or fault not in result, result
        if not record.exists():
            return None
        with np.load(str(record)) as file:
            return file["logits"]

    return run


@pytest.fixture(scope="module")
def cats(shared, tmp_path_factory):
    """(data set, four ids with a cat, path of their list, folder of their masks as grey PNGs, starting weights)."""
    folder = tmp_path_factory.mktemp("cats")
    dataset = open_dataset(shared / "data" / "VOC2012-animals")
    tags = dataset.read_tags(dataset.read_ids("val"))
    ids = [i for i in tags if dataset.classes.index("cat") in tags[i]][:4]
    (folder / "list.txt").write_text("".join(f"{i}\n" for i in ids))
    (folder / "one.txt").write_text(f"{ids[0]}\n")
    for image_id in ids:  # the published code reads palette PNGs as grey
        Image.fromarray(np.array(read_label(dataset.mask_path(image_id)))).save(str(folder / f"{image_id}.png"))
    started = {  # random weights, with which the network predicts several classes
        ("aux:" if "_moving_" in name else "arg:") + name: mx.nd.array(inference_parameter(name, p.shape))
        for name, p in build("cian", BACKBONE, 21).collect_params().items()
    }
    save_checkpoint(folder / "start.params", started)
    return dataset, ids, folder


def finished(command):
    """All that a command says; it must succeed."""
    result = subprocess.run(command, capture_output=True, text=True, timeout=900, env=dict(os.environ, PYTHONPATH=str(ROOT)))
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-4000:]
    return result.stdout + result.stderr


def tool(name, *arguments):
    return finished([sys.executable, str(ROOT / "tools" / f"{name}.py")] + [str(argument) for argument in arguments])


def published_inference(published, cats, folder, *options):
    """Logits (21, H, W) of the first cat from the published test procedure, averaged over the image and its mirror image."""
    dataset, ids, lists = cats
    roots = ("--image-root", dataset.root / "JPEGImages", "--annotation-root", dataset.root / "Annotations")
    found = published(folder, "--infer", *roots, "--snapshot", folder, "--model", MODEL, "--test-list", lists / "one.txt",
                      *options)  # fmt: skip
    logits = found[0] if len(found) == 1 else (found[0] + found[1][..., ::-1]) / 2
    height, width = read_image(dataset.image_path(ids[0])).shape[:2]
    return logits[0, :, :height, :width]


def compare(found, wanted):
    """Largest deviation of logits (K, H, W), relative to the largest value, and share of equal labels; both are checked."""
    deviation = float(np.abs(found - wanted).max() / np.abs(wanted).max())
    equal = float((found.argmax(axis=0) == wanted.argmax(axis=0)).mean())
    sys.stdout.write(f"{BACKBONE}: largest deviation {deviation:.2g}, equal labels {equal:.6f}, "
                     f"classes {np.unique(wanted.argmax(axis=0)).tolist()}\n")  # fmt: skip
    assert len(np.unique(wanted.argmax(axis=0))) > 1 and deviation < 1e-3 and equal >= 0.999
    return deviation, equal


def is_trained(path, start):
    """Parameters of every part have moved, and the affinity takes part. Published statistics can be stale (FIDELITY row 31)."""
    trained, started = read_params(path), read_params(start)
    for name in ("stage4_unit3_conv3_weight", "conv_embed_k_weight", "bn_out_gamma", "fc1_weight"):
        assert not np.array_equal(trained[name].asnumpy(), started[name].asnumpy()), name
    assert float(trained["bn_out_gamma"].min().asscalar()) > 0.1


def test_the_published_code_reads_our_checkpoint(published, cats, tmp_path):
    """Trained here (round two, which keeps the affinity's weight), tested there with several scales, mirror and CRF."""
    dataset, ids, folder = cats
    tool("train", "--data", dataset.root, "--list", folder / "list.txt", "--seeds", dataset.mask_folder, "--init",
         folder / "start.params", "--backbone", BACKBONE, "--crop", 65, "--batch", 4, "--epochs", 1, "--workers", 1,
         "--round", 2, "--lr", 1e-6, "--output", tmp_path / "run")  # fmt: skip
    ours = tmp_path / "run" / f"cian_{BACKBONE}-0000.params"
    is_trained(ours, folder / "start.params")
    shutil.copy(str(ours), str(tmp_path / f"{MODEL}-0019.params"))
    wanted = published_inference(published, cats, tmp_path)
    image = read_image(dataset.image_path(ids[0]))
    logits = Segmenter(load_network(ours, BACKBONE, "dot", mx.cpu()), mx.cpu()).logits(image)
    compare(logits, wanted)
    for kind, label in (("pred", logits.argmax(axis=0)), ("pred_crf", dense_crf(image, logits, 5))):
        assert (read_label(tmp_path / kind / f"{ids[0]}.png") == label).mean() >= 0.999, kind


def test_a_checkpoint_of_the_published_code_is_exported(published, cats, tmp_path):
    """Trained there (round two), exported here."""
    dataset, ids, folder = cats
    shutil.copy(str(folder / "start.params"), str(tmp_path / f"{MODEL}-0000.params"))
    published(tmp_path, "--image-root", dataset.root / "JPEGImages", "--annotation-root", dataset.root / "Annotations",
              "--label-root", folder, "--train-list", folder / "list.txt", "--snapshot", tmp_path, "--model", MODEL,
              "--retrain", "--num-epoch", 1, "--batch-size", 4, "--image-size", 65, "--lr", 1e-6)  # fmt: skip
    theirs = Path(f"{tmp_path}_retrain") / f"{MODEL}-0000.params"
    is_trained(theirs, folder / "start.params")
    wanted = published_inference(published, cats, theirs.parent, "--num-epoch", 1, "--no-ms", "--no-mirror")
    told = tool("export", "--from-published", theirs, "--backbone", BACKBONE, "--output", tmp_path / "theirs")
    assert "largest deviation" in told and "initialised" not in told
    prediction = Predictor(tmp_path / "theirs")(dataset.image_path(ids[0]))
    compare(prediction.logits, wanted)
    assert (prediction.label == read_label(theirs.parent / "pred" / f"{ids[0]}.png")).mean() >= 0.999


@pytest.mark.parametrize("backbone", ["resnet50", "resnet101"])
def test_committed_symbols_have_the_published_names(backbone, published, tmp_path):
    """Arguments and auxiliary states of the networks of single images and of pairs."""
    folder = Path(os.environ["CIAN_PUBLISHED"])
    program = f"""
import json, sys
from cian.base.runtime import mx
sys.path.insert(0, {str(folder)!r})
from lib import models
data = mx.sym.Variable("data")
found = {{}}
for kind, suffix in (("SA", ""), ("CA", "_group")):
    symbol = mx.sym.Group(list(getattr(models, "{backbone}_largefov_" + kind)(data, 21)))
    found[suffix] = [sorted(symbol.list_arguments()), sorted(symbol.list_auxiliary_states())]
print("NAMES" + json.dumps(found))
"""
    told = finished([sys.executable, "-c", program])
    for suffix, names in json.loads(told[told.index("NAMES") + 5 :].splitlines()[0]).items():
        symbol = mx.sym.load(str(ROOT / "symbols" / f"cian_{backbone}{suffix}-symbol.json"))
        assert [sorted(symbol.list_arguments()), sorted(symbol.list_auxiliary_states())] == names
