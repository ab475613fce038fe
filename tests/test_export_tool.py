"""tools/export.py: an export of a checkpoint and what it tells of itself, and the images on which it is verified."""

import os
import subprocess
import sys

import numpy as np
import pytest
from scripts import module_of
from skimage.data import chelsea
from small_exports import initialised
from small_training import ROOT

from cian.data.images import write_label
from cian.exported import description
from cian.models.checkpoint import named_arrays, save_checkpoint
from cian.models.cian import CIAN
from cian.runtime import mx


@pytest.fixture(scope="module")
def net():
    return initialised(CIAN("resnet10", 4))


def test_tool_exports_a_checkpoint(net, shared, tmp_path):
    save_checkpoint(tmp_path / "n.params", named_arrays(net))
    image = sorted((shared / "data" / "VOC2012-animals" / "JPEGImages").glob("*.jpg"))[0]
    command = [
        sys.executable,
        str(ROOT / "tools" / "export.py"),
        "--checkpoint",
        str(tmp_path / "n.params"),
        "--backbone",
        "resnet10",
        "--output",
        str(tmp_path / "out" / "n"),
        "--classes",
        "background,a,b,c",
        "--size",
        "65,97",
        "--image",
        str(image),
    ]
    environment = dict(os.environ, PYTHONPATH=str(ROOT))
    result = subprocess.run(
        command + ["--probabilities", "--multi-scale", "--flip"], capture_output=True, text=True, env=environment
    )
    assert result.returncode == 0 and "largest deviation" in result.stdout, result.stderr[-2000:]
    told = description(mx.sym.load(str(tmp_path / "out" / "n-symbol.json")))
    assert told == dict(
        method="cian",
        backbone="resnet10",
        classes=["background", "a", "b", "c"],
        output="probabilities",
        size=[65, 97],
        enlarged=True,
        scales=[0.75, 1.0, 1.25],
        flip=True,
        group=0,
    )
    result = subprocess.run(command + ["--labels"], capture_output=True, text=True, env=environment)
    assert result.returncode == 2 and "exists with other contents" in result.stderr


def test_exports_are_verified_on_random_pixels_and_a_photograph(tmp_path):
    inputs = module_of("export").inputs
    free = inputs(None, [], 0)
    assert [x.shape for x in free] == [(1, 3, 129, 129), (1, 3, 161, 97), (1, 3, 297, 449)]
    np.testing.assert_allclose(free[2][0].mean(axis=(1, 2)), chelsea().mean(axis=(0, 1)), atol=1)  # a cat
    assert 60 < free[0].std() < 90 and not np.array_equal(free[0][0, 0, :97, :97], free[1][0, 0, :97, :97])
    write_label(tmp_path / "x.png", np.ones((20, 30), np.uint8))
    more = inputs((65, 97), [str(tmp_path / "x.png")], 2)
    assert [x.shape for x in more] == [(1, 2, 3, 65, 97)] * 3 and {x.dtype for x in more} == {np.dtype("float32")}
    np.testing.assert_array_equal(more[1][0, 1], np.roll(more[1][0, 0], 7, axis=-1))
