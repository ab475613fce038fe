"""Inference of one photograph, with and without CRF, against what the published code computed (shared/golden/README.md)."""

import numpy as np
import pytest
from published import inference_parameter

from cian.base.runtime import mx
from cian.data.images import read_image
from cian.inference.crf import dense_crf
from cian.inference.segmenter import Segmenter
from cian.models.cian import CIAN


@pytest.fixture(scope="module")
def golden(shared):
    with np.load(str(shared / "golden" / "infer_resnet50_ms_flip_crf.npz")) as file:
        return {key: file[key] for key in file.files}


@pytest.fixture(scope="module")
def image(shared, golden):
    return read_image(shared / "data" / "VOC2012-animals" / "JPEGImages" / str(golden["image"]))


@pytest.fixture(scope="module")
def logits(image):
    net = CIAN("resnet50", 21)
    net.initialize()
    for name, p in net.collect_params().items():
        p.set_data(mx.nd.array(inference_parameter(name, p.shape)))
    net.hybridize()
    return Segmenter(net, mx.cpu()).logits(image)


def test_logits_equal_the_published_codes(golden, logits):
    wanted = golden["logits_every_8"]
    assert np.abs(logits[:, ::8, ::8] - wanted).max() <= 1e-3 * np.abs(wanted).max()
    assert (logits.argmax(axis=0) == golden["pred"]).mean() >= 0.999


@pytest.mark.parametrize("method", ("exact", "pruned"))
@pytest.mark.parametrize("iterations", (5, 10))
def test_crf_equals_the_published_codes(iterations, method, golden, image, logits):
    refined = dense_crf(image, logits, iterations, method)
    assert (refined == golden[f"pred_crf_{iterations}"]).mean() >= 0.999
