"""Weights of PyTorch's networks: features from .pth, old .pth and .safetensors equal theirs. Skips without $CIAN_TORCH.

The networks run in another Python (tests/torch_networks.py), with which this one shares files alone.
"""

import subprocess
from pathlib import Path

import numpy as np
import pytest
from source_networks import CLOSE, deviation, our_features, photograph, python_of_torch, scaled

from cian.base.runtime import mx
from cian.models.cian import CIAN
from cian.models.naming import BRANCHES, squeezenet_names
from cian.models.pretrained import load_pretrained
from cian.models.weight_file import read_weights

SCRIPT = Path(__file__).resolve().parents[1] / "torch_networks.py"
BACKBONES = {"resnet50": "resnet50v1b", "resnet101": "resnet101v1b", "squeezenet1_1": "squeezenet1.1", "vgg16": "vgg16",
             "timm_resnet50": "resnet50v1b", "timm_vgg16": "vgg16"}  # fmt: skip
ENDINGS = (".pth", ".old.pth", ".safetensors")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """make(kind): the folder with what torch_networks.py writes for it, once."""
    python, folder = python_of_torch(), tmp_path_factory.mktemp("torch")
    np.save(str(folder / "x.npy"), scaled(photograph()))

    def make(kind):
        if not (folder / f"{kind}.features.npy").exists():
            result = subprocess.run([python, str(SCRIPT), str(folder), kind], stderr=subprocess.PIPE, universal_newlines=True)
            if "No module named 'timm'" in result.stderr:
                pytest.skip("no timm beside torch")
            assert result.returncode == 0, result.stderr[-2000:]
        return folder

    return make


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("kind", BACKBONES)
def test_features_equal_those_of_pytorchs_network(made, kind, ending):
    path = made(kind) / f"{kind}{ending}"
    if not path.exists():
        pytest.skip("no safetensors beside torch")
    found = our_features(BACKBONES[kind], path, photograph())
    assert deviation(found, np.load(str(made(kind) / f"{kind}.features.npy"))) < CLOSE


@pytest.mark.parametrize("half", ["bfloat16", "half"])
def test_half_precision_is_read_as_pytorch_reads_it(made, half):
    folder = made("squeezenet1_1")
    found = read_weights(folder / f"squeezenet1_1.{half}.pth")
    with np.load(str(folder / f"squeezenet1_1.{half}.npz")) as expected:
        assert set(found) == set(expected.files)
        assert all(np.array_equal(np.float32(found[name]), expected[name]) for name in found)


def test_a_pickled_module_is_refused(made):
    with pytest.raises(ValueError, match="it refers to 'torchvision.models.squeezenet.SqueezeNet', which tensors do not need"):
        read_weights(made("squeezenet1_1") / "squeezenet1_1.module.pth")


@pytest.mark.parametrize("ending", ENDINGS)
def test_real_squeezenet_to_torchvisions_names_and_back(made, shared, ending):
    """Gluon's file, under torchvision's names, into torchvision's network, out of it, into ours: the same bits and features."""
    real = shared / "pretrained" / "gluon_squeezenet1_1.params"
    gluon = read_weights(real)
    theirs = {ours: place for place, ours in squeezenet_names(BRANCHES).items()}
    names = {place: theirs[ours] for place, ours in squeezenet_names(("0.0", "1.0.0", "1.1.0")).items()}
    names["output.0"] = "classifier.1"
    folder = made("squeezenet1_1")
    np.savez(str(folder / "real.npz"), **{f"{names[n.rpartition('.')[0]]}.{n.rpartition('.')[2]}": v for n, v in gluon.items()})
    path, nets = made("real") / f"real{ending}", (CIAN("squeezenet1.1", 3), CIAN("squeezenet1.1", 3))
    for net, source in zip(nets, (real, path)):
        mx.random.seed(0)
        net.initialize(mx.init.Xavier())
        load_pretrained(net, source, "squeezenet1.1")
    one, other = ({n: p.data().asnumpy() for n, p in net.backbone.collect_params().items()} for net in nets)
    assert len(one) == 54 and all(np.array_equal(value, other[name]) for name, value in one.items())
    features = np.load(str(folder / "real.features.npy"))
    assert deviation(our_features("squeezenet1.1", path, photograph()), features) < CLOSE
