"""What others call the layers of our backbones: tables {their layer: ours}, and arrays renamed by them.

Ours are the names of the published code and of the MXNet model zoo's symbols (`stage1_unit1_bn1_gamma`). Gluon writes two
others: places in the network (`features.5.0.bn1.gamma`; save_parameters) and counts over each kind of layer (`resnetv20_stage1_
batchnorm0_gamma`; HybridBlock.export, collect_params().save, Module). torchvision, timm and gluoncv2 (imgclsmob) have their own
places.
"""

import os
import re
from dataclasses import dataclass
from typing import Callable, Tuple

from cian.models.resnet import LAYOUTS
from cian.models.resnet_v1 import UNITS
from cian.models.squeezenet import FIRES, POOL_BEFORE
from cian.models.vgg import STAGES

#: their names of a batch normalisation's parameters -> ours; in a convolution weight and bias keep theirs
NORMALISATION = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_var"}
NORMALISATIONS = re.compile(r"(bn\d?|bn_data)$")
BRANCHES = ("squeeze", "expand1x1", "expand3x3")  # of a fire


@dataclass(frozen=True)
class Naming:
    """One way of naming the layers of a backbone. label: who writes such files; layers(): {their layer: ours}.

    dropped: what names of the ImageNet classifier begin with. counted: names carry the network's own prefix, such as vgg0_.
    """

    label: str
    layers: Callable
    dropped: Tuple[str, ...]
    counted: bool = False


def squeezenet_names(branches):
    """SqueezeNet 1.1 by places, as Gluon and torchvision count poolings and ReLUs; branches: what follows a fire's place."""
    names, position = {"features.0": "conv0"}, 2
    for index in range(len(FIRES)):
        position += index in POOL_BEFORE
        for branch, ours in zip(branches, BRANCHES):
            names[f"features.{position}.{branch}"] = f"fire{index + 2}_{ours}"
        position += 1
    return names


def vgg_names():
    """VGG16 by places: convolution, ReLU, ..., pooling per stage."""
    names, position = {}, 0
    for stage, (count, _) in enumerate(STAGES, 1):
        for index in range(1, count + 1):
            names[f"features.{position}"] = f"conv{stage}_{index}"
            position += 2
        position += 1
    return names


def units(counts):
    """(stage, unit, our name of the unit) of all units of a ResNet, stages and units from 1."""
    return [(s, u, f"stage{s}_unit{u}") for s, count in enumerate(counts, 1) for u in range(1, count + 1)]


def resnet_names(depth):
    """Gluon's ResNet v2 by places."""
    names = {"features.0": "bn_data", "features.1": "conv0", "features.2": "bn0", "features.9": "bn1"}
    for stage, unit, ours in units(LAYOUTS[depth][0]):
        theirs = f"features.{4 + stage}.{unit - 1}"
        names.update({f"{theirs}.{layer}": f"{ours}_{layer}" for layer in ("bn1", "bn2", "bn3", "conv1", "conv2", "conv3")})
        names.update({f"{theirs}.downsample": ours + "_sc"} if unit == 1 else {})
    return names


def resnet_v1b_names(depth):
    """The ResNet v1b of gluoncv, torchvision and timm by places."""
    names = {"conv1": "conv0", "bn1": "bn0"}
    for stage, unit, ours in units(UNITS[depth]):
        theirs = f"layer{stage}.{unit - 1}"
        names.update({f"{theirs}.{layer}": f"{ours}_{layer}" for layer in ("conv1", "bn1", "conv2", "bn2", "conv3", "bn3")})
        names.update({f"{theirs}.downsample.{n}": ours + sc for n, sc in enumerate(("_sc", "_sc_bn")) if unit == 1})
    return names


def resnet_v1_names(depth):
    """Gluon's ResNet v1 by places; its body is convolution, normalisation, ReLU, ..."""
    names = {"features.0": "conv0", "features.1": "bn0"}
    for stage, unit, ours in units(UNITS[depth]):
        theirs = f"features.{3 + stage}.{unit - 1}"
        for number in (1, 2, 3):
            names[f"{theirs}.body.{3 * number - 3}"] = f"{ours}_conv{number}"
            names[f"{theirs}.body.{3 * number - 2}"] = f"{ours}_bn{number}"
        names.update({f"{theirs}.downsample.{n}": ours + sc for n, sc in enumerate(("_sc", "_sc_bn")) if unit == 1})
    return names


def osmr_resnet_names(counts, first, shortcut):
    """gluoncv2's ResNets by places; first: {place of the stem and the end: ours}; shortcut: those of a unit's projection."""
    names = dict(first)
    for stage, unit, ours in units(counts):
        theirs = f"features.{stage}.{unit - 1}"
        for number in (1, 2, 3):
            names[f"{theirs}.body.conv{number}.conv"] = f"{ours}_conv{number}"
            names[f"{theirs}.body.conv{number}.bn"] = f"{ours}_bn{number}"
        names.update({f"{theirs}.{place}": ours + layer for place, layer in shortcut.items() if unit == 1})
    return names


def preresnet_names(depth):
    """gluoncv2's pre-activation ResNet, whose input has no normalisation of its own."""
    first = {"features.0.conv": "conv0", "features.0.bn": "bn0", "features.5.bn": "bn1"}
    return osmr_resnet_names(LAYOUTS[depth][0], first, {"identity_conv": "_sc"})


def osmr_v1b_names(depth):
    """gluoncv2's resnet50b and resnet101b."""
    first = {"features.0.conv.conv": "conv0", "features.0.conv.bn": "bn0"}
    return osmr_resnet_names(UNITS[depth], first, {"identity_conv.conv": "_sc", "identity_conv.bn": "_sc_bn"})


def osmr_vgg_names():
    """gluoncv2's VGG16."""
    counts = [count for count, _ in STAGES]
    return {f"features.{s - 1}.{u - 1}.conv": f"conv{s}_{u}" for s, u, _ in units(counts)}


def osmr_squeezenet_names():
    """gluoncv2's SqueezeNet 1.1; a pooling stands at place 0 of each stage."""
    names, stage, place = {"features.0.conv": "conv0"}, 0, 0
    for index in range(len(FIRES)):
        stage, place = (stage + 1, 1) if index in POOL_BEFORE else (stage, place + 1)
        for branch in BRANCHES:
            names[f"features.{stage}.{place}.{branch}.conv"] = f"fire{index + 2}_{branch}"
    return names


def counted(names, stage_scope="stage{}_", shortcut_scope=None):
    """Places -> counts over each kind of layer in each scope, in the order of the places."""
    totals, found = {}, {}
    for ours in names.values():
        stage = re.match(r"stage(\d+)_unit", ours)
        scope = (shortcut_scope if shortcut_scope and "_sc" in ours else stage_scope).format(stage.group(1)) if stage else ""
        kind = "batchnorm" if NORMALISATIONS.search(ours) else "conv"
        number = totals[scope, kind] = totals.get((scope, kind), -1) + 1
        found[f"{scope}{kind}{number}"] = ours
    return found


def _namings(places, label, dropped, classifier="dense", **scopes):
    """Gluon's two namings of a network."""
    return (
        Naming(f"{label} (save_parameters)", places, dropped),
        Naming(f"{label} (export, collect_params().save, Module)", lambda: counted(places(), **scopes), (classifier,), True),
    )


def _resnet_v1b(depth):
    names, scopes = (lambda: resnet_v1b_names(depth)), dict(stage_scope="layers{}_", shortcut_scope="down{}_")
    by_place, by_count = _namings(names, f"gluoncv's resnet{depth}_v1b", ("fc.",), **scopes)
    shared = Naming(f"gluoncv's resnet{depth}_v1b, torchvision's and timm's resnet{depth}", by_place.layers, by_place.dropped)
    return shared, by_count, Naming(f"gluoncv2's resnet{depth}b", lambda: osmr_v1b_names(depth), ("output.",))


def _resnet(depth):
    ours = _namings(lambda: resnet_names(depth), f"Gluon's resnet{depth}_v2", ("features.12.", "output."))
    return (*ours, Naming(f"gluoncv2's preresnet{depth}b", lambda: preresnet_names(depth), ("output.",)))


#: backbone -> what others call its layers. Not resnet18: the published one has a projection in its first unit, Gluon's has none
NAMINGS = {
    "resnet50": _resnet(50),
    "resnet101": _resnet(101),
    "resnet50v1b": _resnet_v1b(50),
    "resnet101v1b": _resnet_v1b(101),
    "resnet50v1": _namings(lambda: resnet_v1_names(50), "Gluon's resnet50_v1", ("output.",)),
    "squeezenet1.1": (
        *_namings(lambda: squeezenet_names(("0.0", "1.0.0", "1.1.0")), "Gluon's squeezenet1.1", ("output.",), "conv25"),
        Naming("torchvision's squeezenet1_1", lambda: squeezenet_names(BRANCHES), ("classifier.",)),
        Naming("gluoncv2's squeezenet_v1_1", osmr_squeezenet_names, ("output.",)),
    ),
    "vgg16": (
        Naming("Gluon's, torchvision's and timm's vgg16", vgg_names,
               ("features.31.", "features.33.", "output.", "classifier.", "pre_logits.", "head.")),  # fmt: skip
        _namings(vgg_names, "Gluon's vgg16", ())[1],
        Naming("gluoncv2's vgg16", osmr_vgg_names, ("output.",)),
    ),
}


def layer_of(name):
    """`features.0.weight` -> ("features.0", "weight"); `vgg0_conv0_running_mean` -> ("vgg0_conv0", "running_mean")."""
    match = re.match(r"(.+?)[._](weight|bias|gamma|beta|running_mean|running_var|num_batches_tracked)$", name)
    return (match.group(1), match.group(2)) if match else (name, "")


def own_prefix(names):
    """What all these counted names begin with, up to an underscore: `squeezenet0_`, or nothing."""
    return os.path.commonprefix(sorted(names)).rpartition("_")[0] + "_" if len(names) > 1 else ""


def recognise(names, backbone):
    """The Naming of `backbone` that most of these names belong to; None where none knows any of them."""
    best, most = None, 0
    for naming in NAMINGS.get(backbone, ()):
        prefix = own_prefix(names) if naming.counted else ""
        layers = naming.layers()
        known = sum(layer_of(name[len(prefix) :] if name.startswith(prefix) else name)[0] in layers for name in names)
        best, most = (naming, known) if known > most else (best, most)
    return best


def renamed(arrays, naming):
    """({our name: array}, names that this naming does not know); the ImageNet classifier is in neither."""
    layers, found, unknown = naming.layers(), {}, []
    prefix = own_prefix(arrays) if naming.counted else ""
    for name, value in arrays.items():
        theirs = name[len(prefix) :] if name.startswith(prefix) else name
        layer, kind = layer_of(theirs)
        if theirs.startswith(naming.dropped) or kind == "num_batches_tracked":
            continue
        if layer not in layers or not kind:
            unknown.append(name)
            continue
        ours = layers[layer]
        found[f"{ours}_{NORMALISATION.get(kind, kind) if NORMALISATIONS.search(ours) else kind}"] = value
    return found, unknown
