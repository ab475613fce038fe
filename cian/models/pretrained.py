"""ImageNet weights for a backbone, of whatever source and format: names, biases and input brought to ours, and loaded strictly.

Others' networks take (RGB / 255 - mean) / std; here the input is RGB 0..255, so that scaling is folded into the statistics of
`bn_data`, exactly (FIDELITY row 6).
"""

import logging
import re

import numpy as np

from cian.models.checkpoint import NEW_BY_DESIGN, load_parameters
from cian.models.layers import EPSILON, IMAGENET_MEAN, IMAGENET_STD
from cian.models.naming import NAMINGS, recognise, renamed
from cian.models.weight_cache import Chosen, choose
from cian.models.weight_file import read_weights

log = logging.getLogger(__name__)

OURS = "the published code and MXNet's model zoo"
NAMES_SHOWN = 6


def converted(arrays, backbone, own, mean=IMAGENET_MEAN, std=IMAGENET_STD):
    """({our name: array}, names that are unknown, who names layers so) of a file's arrays.

    own: our names of the network's parameters; mean, std: of the input that the weights were trained for, RGB 0..255. The
    ImageNet classifier of another naming than ours is left out. Where no naming fits, all names are unknown.
    """
    naming = recognise(arrays, backbone)
    ours = sum(name in own for name in arrays)
    theirs = 0 if naming is None else len(renamed(arrays, naming)[0])
    if ours and ours >= theirs:
        return dict(arrays), [], OURS
    if not theirs:
        return {}, list(arrays), "no naming that is known"
    found, unknown = renamed(arrays, naming)
    return fold_input(fold_biases(found), mean, std), unknown, naming.label


def fold_biases(arrays):
    """Move the bias of a convolution in front of a normalisation (Gluon's ResNet v1) into its running mean, exactly."""
    folded = dict(arrays)
    for name in arrays:
        mean = re.sub(r"_conv(\d)_bias$", r"_bn\1_moving_mean", name)
        if mean != name and mean in arrays and np.shape(arrays[mean]) == np.shape(arrays[name]):
            folded[mean] = np.subtract(arrays[mean], folded.pop(name), dtype="float32")
    return folded


def fold_input(arrays, mean=IMAGENET_MEAN, std=IMAGENET_STD):
    """Add the `bn_data` of RGB 0..255 that equals (x - mean) / std, then its own `bn_data` if it has one."""
    if any(np.shape(value) != (3,) for name, value in arrays.items() if name.startswith("bn_data_")):
        return dict(arrays)  # for an input of other channels, which loading will say
    mean, std = np.array(mean), np.array(std)
    own_mean = np.float64(arrays.get("bn_data_moving_mean", np.zeros(3)))
    own_var = np.float64(arrays["bn_data_moving_var"]) + EPSILON if "bn_data_moving_var" in arrays else np.ones(3)
    folded = dict(arrays)
    folded["bn_data_moving_mean"] = np.float32(mean + std * own_mean)
    folded["bn_data_moving_var"] = np.float32(std**2 * own_var - EPSILON)
    folded.setdefault("bn_data_gamma", np.ones(3, "float32"))
    folded.setdefault("bn_data_beta", np.zeros(3, "float32"))
    return folded


def without_classifier(arrays):
    """(arrays, names left out) without another task's classifier: ImageNet's `fc1` (a matrix with bias) or the CAM's."""
    dropped = [
        name
        for name, value in arrays.items()
        if name in ("fc1_bias", "classifier_weight") or (name == "fc1_weight" and value.ndim == 2)
    ]
    return {name: value for name, value in arrays.items() if name not in dropped}, dropped


def known_namings(backbone):
    """Who names the layers of a backbone in a way that is read, for messages."""
    return ", ".join([OURS] + [naming.label for naming in NAMINGS.get(backbone, ())])


def load_pretrained(net, init, backbone, allow_missing=False, leave_out=()):
    """Start an initialised network from `init`: a Chosen, SOURCE:NAME, or a file in any format of weight_file.

    Only the layers that are new by design (affinity, fc1, classifier) may be missing; any other needs allow_missing.
    leave_out: prefixes of names in the file that are of no use to this network. ValueError names what does not fit.
    """
    chosen = init if isinstance(init, Chosen) else choose(init, backbone)
    source = chosen.source
    scaling = () if source is None else (np.multiply(source.mean, 255), np.multiply(source.std, 255))
    read = read_weights(chosen.path)
    arrays, unknown, label = converted(read, backbone, set(net.collect_params()), *scaling)
    shown = str(chosen.path if source is None else f"{source.name} ({chosen.path})")
    if unknown:
        raise ValueError(
            f"{shown}: not weights of {backbone}: {len(unknown)} of {len(read)} parameters are unknown, such as "
            f"{', '.join(sorted(unknown)[:NAMES_SHOWN])}; known are the names of {known_namings(backbone)}; "
            f"`cian weights check {chosen.path}` tells which backbone it fits"
        )
    arrays = {name: value for name, value in arrays.items() if not name.startswith(tuple(leave_out))}
    arrays, dropped = without_classifier(arrays)
    if dropped:
        log.info("%s: left out %s", shown, ", ".join(dropped))
    log.info("%s: names of %s", shown, label)
    load_parameters(net, arrays, shown, allow_missing=True if allow_missing else NEW_BY_DESIGN)
