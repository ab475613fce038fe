"""The training step in double precision, and inference, against what the published code computed (shared/golden/README.md)."""

import numpy as np
import pytest
from golden_steps import CASES, deviations, worst
from published import inference_parameter

from cian.base.runtime import mx
from cian.data.images import read_image
from cian.inference.crf import dense_crf
from cian.inference.segmenter import Segmenter
from cian.models.cian import CIAN

#: largest relative deviation of a quantity; any other is held to EQUAL. Both are far above what rounding in double precision
#: comes to (1e-12), and far below what any difference of method does
BOUNDS = {"logits": 1e-12, "completion": 0}
EQUAL = 1e-9


@pytest.mark.parametrize("case", CASES)
def test_training_equals_the_published_code(case, shared):
    """Logits, completion targets, and of every parameter gradient, value and change, of every running statistic the same."""
    found = deviations(case, shared, "float64")
    assert len(found) == 10 and all(found.values())
    for quantity, (value, name) in worst(found).items():
        assert value <= BOUNDS.get(quantity, EQUAL), (quantity, name, value)


def test_inference_equals_the_published_code(shared):
    with np.load(str(shared / "golden" / "infer_resnet50_ms_flip_crf.npz")) as file:
        golden = {key: file[key] for key in file.files}
    image = read_image(shared / "data" / "VOC2012-animals" / "JPEGImages" / str(golden["image"]))
    net = CIAN("resnet50", 21)
    net.initialize()
    for name, p in net.collect_params().items():
        p.set_data(mx.nd.array(inference_parameter(name, p.shape)))
    net.hybridize()
    logits = Segmenter(net, mx.cpu()).logits(image)
    wanted = golden["logits_every_8"]
    assert np.abs(logits[:, ::8, ::8] - wanted).max() <= 1e-3 * np.abs(wanted).max()
    assert (logits.argmax(axis=0) == golden["pred"]).mean() >= 0.999
    for iterations in (5, 10):
        for method in ("exact", "pruned"):
            refined = dense_crf(image, logits, iterations, method)
            assert (refined == golden[f"pred_crf_{iterations}"]).mean() >= 0.999, (iterations, method)
