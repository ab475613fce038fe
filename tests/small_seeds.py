"""What the tests of make_seeds.py share: a classifier of random weights, six images, and a run of the tool."""

import numpy as np
from scripts import tool
from voc_trees import write_dataset, write_image

from cian.base.runtime import mx
from cian.data.images import read_label
from cian.models.cam import CAM
from cian.models.checkpoint import named_arrays, save_checkpoint

CAT, PERSON = 8, 15
IDS = ["a", "b", "c", "d", "e", "f"]
LABEL = np.zeros((40, 48), np.uint8)
LABEL[5:30, 8:40], LABEL[20:35, 30:45], LABEL[0, 0] = CAT, PERSON, 255


def save_classifier(folder):
    """Write a CAM of 20 classes and random weights; returns its path."""
    path = folder / "cam_resnet10-0000.params"
    net = CAM("resnet10", 20)
    mx.random.seed(0)
    net.initialize(mx.init.Xavier())
    net(mx.nd.zeros((1, 3, 32, 32)))
    save_checkpoint(path, named_arrays(net))
    return path


def six_images(root):
    """A data set whose images, all with the masks LABEL, are IDS; returns its folder."""
    write_dataset(root, {"train_aug": dict.fromkeys(IDS, LABEL)})
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
