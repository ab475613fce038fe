"""ImageNet weights for a backbone: published or model-zoo .params, Gluon .params, and gluoncv's model zoo by name.

Gluon's networks take (RGB / 255 - mean) / std; here the input is RGB 0..255, so that scaling is folded into the statistics of
`bn_data`, exactly (FIDELITY row 6).
"""

import logging
import re

import numpy as np

from cian.base.runtime import mx
from cian.models.checkpoint import NEW_BY_DESIGN, load_parameters, read_params
from cian.models.layers import EPSILON, IMAGENET_MEAN, IMAGENET_STD
from cian.models.resnet import LAYOUTS
from cian.models.resnet_v1 import UNITS
from cian.models.squeezenet import FIRES
from cian.models.vgg import STAGES

log = logging.getLogger(__name__)

GLUON_RUNNING = {"gamma": "gamma", "beta": "beta", "running_mean": "moving_mean", "running_var": "moving_var"}
TORCH_AFFINE = {"weight": "gamma", "bias": "beta"}  # torchvision's names in a batch normalisation


def squeezenet_names():
    """Gluon's structured names of SqueezeNet 1.1 -> ours."""
    names = {"features.0": "conv0"}
    positions = (3, 4, 6, 7, 9, 10, 11, 12)  # of the fires in Gluon's `features`; poolings and ReLU take the others
    for index, position in zip(range(len(FIRES)), positions):
        fire = f"fire{index + 2}"
        names.update(
            {
                f"features.{position}.0.0": fire + "_squeeze",
                f"features.{position}.1.0.0": fire + "_expand1x1",
                f"features.{position}.1.1.0": fire + "_expand3x3",
            }
        )
    return names


def vgg_names():
    """Gluon's structured names of VGG16 -> ours; convolution, ReLU, ..., pooling per stage."""
    names, position = {}, 0
    for stage, (count, _) in enumerate(STAGES, 1):
        for index in range(1, count + 1):
            names[f"features.{position}"] = f"conv{stage}_{index}"
            position += 2
        position += 1
    return names


def resnet_names(depth):
    """Gluon's structured names of ResNet v2 -> ours."""
    units, _, _ = LAYOUTS[depth]
    names = {"features.0": "bn_data", "features.1": "conv0", "features.2": "bn0", "features.9": "bn1"}
    for stage, count in enumerate(units):
        for unit in range(count):
            ours, theirs = f"stage{stage + 1}_unit{unit + 1}", f"features.{5 + stage}.{unit}"
            names.update(
                {f"{theirs}.{layer}": f"{ours}_{layer}" for layer in ("bn1", "bn2", "bn3", "conv1", "conv2", "conv3")}
            )
            names[f"{theirs}.downsample"] = ours + "_sc"
    return names


def resnet_v1b_names(depth):
    """gluoncv's and torchvision's structured names of ResNet v1b -> ours."""
    names = {"conv1": "conv0", "bn1": "bn0"}
    for stage, count in enumerate(UNITS[depth], 1):
        for unit in range(count):
            ours, theirs = f"stage{stage}_unit{unit + 1}", f"layer{stage}.{unit}"
            layers = ("conv1", "bn1", "conv2", "bn2", "conv3", "bn3")
            names.update({f"{theirs}.{layer}": f"{ours}_{layer}" for layer in layers})
            names.update({f"{theirs}.downsample.0": ours + "_sc", f"{theirs}.downsample.1": ours + "_sc_bn"})
    return names


def resnet_v1_names(depth):
    """Gluon's structured names of ResNet v1 -> ours; its body is convolution, normalisation, ReLU, ..."""
    names = {"features.0": "conv0", "features.1": "bn0"}
    for stage, count in enumerate(UNITS[depth], 1):
        for unit in range(count):
            ours, theirs = f"stage{stage}_unit{unit + 1}", f"features.{3 + stage}.{unit}"
            for number in (1, 2, 3):
                names[f"{theirs}.body.{3 * number - 3}"] = f"{ours}_conv{number}"
                names[f"{theirs}.body.{3 * number - 2}"] = f"{ours}_bn{number}"
            names.update({f"{theirs}.downsample.0": ours + "_sc", f"{theirs}.downsample.1": ours + "_sc_bn"})
    return names


#: backbone -> (Gluon name -> ours, gluoncv model, prefixes of its ImageNet classifier). Not resnet18: the published one has
#: a projection in its first unit, Gluon's has none
GLUON = {
    "resnet50": (lambda: resnet_names(50), "resnet50_v2", ("features.12.", "output.")),
    "resnet101": (lambda: resnet_names(101), "resnet101_v2", ("features.12.", "output.")),
    "resnet50v1b": (lambda: resnet_v1b_names(50), "resnet50_v1b", ("fc.",)),
    "resnet101v1b": (lambda: resnet_v1b_names(101), "resnet101_v1b", ("fc.",)),
    "resnet50v1": (lambda: resnet_v1_names(50), "resnet50_v1", ("output.",)),
    "squeezenet1.1": (squeezenet_names, "squeezenet1.1", ("output.",)),
    "vgg16": (vgg_names, "vgg16", ("features.31.", "features.33.", "output.")),
}


def gluon_counterpart(backbone):
    """The entry of GLUON for a backbone; ValueError lists those that have one."""
    if backbone not in GLUON:
        raise ValueError(
            f"init: {backbone} has no Gluon counterpart with the same layers; these have: {', '.join(GLUON)}"
        )
    return GLUON[backbone]


def from_gluon(arrays, backbone, source):
    """Rename Gluon's structured parameters {`features.0.weight`: array} and fold the input scaling into `bn_data`.

    The ImageNet classifier is left out (logged); a name that the backbone does not know is a ValueError.
    """
    make_names, _, classifier = gluon_counterpart(backbone)
    names, renamed, unknown = make_names(), {}, []
    for name, value in arrays.items():
        layer, kind = name.rsplit(".", 1)
        if name.startswith(classifier) or kind == "num_batches_tracked":
            continue
        if layer not in names:
            unknown.append(name)
            continue
        if re.search(r"bn\d?$", names[layer]):
            kind = TORCH_AFFINE.get(kind, kind)
        renamed[f"{names[layer]}_{GLUON_RUNNING.get(kind, kind)}"] = value
    if unknown:
        raise ValueError(
            f"{source}: not Gluon's {GLUON[backbone][1]}: unknown parameters {', '.join(sorted(unknown)[:6])}"
        )
    return fold_input(fold_biases(renamed))


def fold_biases(arrays):
    """Move the bias of a convolution in front of a normalisation (Gluon's ResNet v1) into its running mean, exactly."""
    folded = dict(arrays)
    for name in arrays:
        mean = re.sub(r"_conv(\d)_bias$", r"_bn\1_moving_mean", name)
        if mean != name and mean in arrays:
            folded[mean] = arrays[mean] - folded.pop(name)
    return folded


def fold_input(arrays):
    """Add the `bn_data` of RGB 0..255 that equals Gluon's (x / 255 - mean) / std, then its own `bn_data` if it has one."""
    mean, std = np.array(IMAGENET_MEAN), np.array(IMAGENET_STD)
    own_mean = arrays["bn_data_moving_mean"].asnumpy() if "bn_data_moving_mean" in arrays else np.zeros(3)
    own_var = arrays["bn_data_moving_var"].asnumpy() + EPSILON if "bn_data_moving_var" in arrays else np.ones(3)
    folded = dict(arrays)
    folded["bn_data_moving_mean"] = mx.nd.array(mean + std * own_mean)
    folded["bn_data_moving_var"] = mx.nd.array(std**2 * own_var - EPSILON)
    folded.setdefault("bn_data_gamma", mx.nd.ones((3,)))
    folded.setdefault("bn_data_beta", mx.nd.zeros((3,)))
    return folded


def without_classifier(arrays, source):
    """Leave out another task's classifier: ImageNet's `fc1` (a matrix with bias) or the CAM's; logged."""
    dropped = [
        name
        for name, value in arrays.items()
        if name in ("fc1_bias", "classifier_weight") or (name == "fc1_weight" and value.ndim == 2)
    ]
    if dropped:
        log.info("%s: left out %s", source, ", ".join(dropped))
    return {name: value for name, value in arrays.items() if name not in dropped}


def gluoncv_arrays(name, backbone):
    """Structured parameters of a pretrained gluoncv model (downloaded by gluoncv on first use)."""
    expected = gluon_counterpart(backbone)[1]
    if name != expected:
        raise ValueError(f"init: gluoncv:{name} is not the backbone {backbone}; expected gluoncv:{expected}")
    import gluoncv  # slow to import, and only needed here

    try:
        model = gluoncv.model_zoo.get_model(name, pretrained=True)
    except Exception as error:  # gluoncv raises many types when the download fails; none names the way out
        raise RuntimeError(
            f"init: gluoncv:{name} could not be downloaded ({error}); give a .params file instead"
        ) from None
    return {key: value.data() for key, value in model._collect_params_with_prefix().items()}


def load_pretrained(net, init, backbone, allow_missing=False, leave_out=()):
    """Start an initialised network from `init`: a .params file, or `gluoncv:NAME`.

    Only the layers that are new by design (affinity, fc1, classifier) may be missing; any other needs allow_missing.
    leave_out: prefixes of names in the file that are of no use to this network.
    """
    if str(init).startswith("gluoncv:"):
        arrays = gluoncv_arrays(str(init)[len("gluoncv:") :], backbone)
    else:
        arrays = read_params(init)
    if any(re.match(r"(features|output|layer\d)\.", name) for name in arrays):
        arrays = from_gluon(arrays, backbone, str(init))
    arrays = {name: value for name, value in arrays.items() if not name.startswith(tuple(leave_out))}
    arrays = without_classifier(arrays, str(init))
    load_parameters(net, arrays, str(init), allow_missing=True if allow_missing else NEW_BY_DESIGN)
