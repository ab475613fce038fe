"""The classifiers behind seeds and masks, by method: their settings, and the network that a checkpoint belongs to."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from cian.base.origin import origin_of
from cian.base.runs import settings_record
from cian.base.runtime import devices
from cian.base.workers import Each
from cian.config import Classifier, Matching
from cian.data.cams import save_cam
from cian.data.images import read_image
from cian.models.cam import CAM
from cian.models.checkpoint import load_parameters, read_params
from cian.models.comnet import MATCHINGS, COMNet
from cian.seeds.activation import activation_maps

#: method -> settings of its training
SETTINGS = {"cam": Classifier, "comnet": Matching}


def comnet(settings, classes):
    """The uninitialised COMNet of settings (config.Matching); classes without background."""
    s = settings
    return COMNet(
        s.backbone, classes, s.matching, s.alpha, s.k, s.side, s.distance, s.residual, s.padding, s.batchnorm, s.match_init
    )


def is_comnet(checkpoint):
    """Does a checkpoint lie in the run folder of a COMNet training?"""
    return origin_of(checkpoint).method == "comnet"


def settings_of_run(checkpoint, matching=None):
    """The config.Matching of the run folder in which a checkpoint lies; FileNotFoundError or ValueError say what is wrong.

    matching: another one at test, which only inter-matching, having no parameters, can come to or go from. Runs of older code
    do not know match_init; their intra-matching has no bias.
    """
    origin = origin_of(checkpoint)
    if not origin.path.is_file():
        raise FileNotFoundError(
            f"{origin.path}: no such file; the network of a COMNet checkpoint is described by its run folder"
        )
    if origin.method != "comnet":
        raise ValueError(f"{origin.path}: not the settings of a COMNet training (cian train_cam --method comnet)")
    tuples = {name: tuple(value) if isinstance(value, list) else value for name, value in origin.settings.items()}
    settings = Matching.preset("voc12", **{"match_init": "zero", **tuples})
    if matching is None:
        return settings
    if MATCHINGS[matching][1] != MATCHINGS[settings.matching][1]:
        raise ValueError(
            f"--matching {matching}: {origin.path} says {settings.matching}; intra-matching has weights of its own"
        )
    return replace(settings, matching=matching)


def network_record(checkpoint, method, backbone, matching=None):
    """What decides the maps of a classifier besides its parameters: plain JSON values, for the record of an output folder."""
    if method != "comnet":
        return {"method": method, "backbone": backbone}
    settings = settings_record(settings_of_run(checkpoint, matching))
    deciding = ("backbone", "matching", "alpha", "k", "side", "distance", "residual", "padding")
    return {"method": method, **{name: settings[name] for name in deciding}}


def load_classifier(checkpoint, method, backbone, classes, device, matching=None):
    """The network of a checkpoint, initialised on `device` and hybridized; ValueError where it does not fit.

    method "cam": the class activation network on `backbone`; "comnet": as the checkpoint's run folder says, which names the
    backbone too, but for another `matching`. classes: without background. Images of one group, or an image and its mirror, go
    into `net.maps`.
    """
    if method not in SETTINGS:
        raise ValueError(f"method: {method!r}, expected one of {', '.join(SETTINGS)}")
    net = CAM(backbone, classes) if method == "cam" else comnet(settings_of_run(checkpoint, matching), classes)
    if method == "comnet":
        net.suit([device])
    net.initialize(ctx=device)
    load_parameters(net, read_params(checkpoint), str(checkpoint))
    net.hybridize()
    return net


def map_worker(network, scales, folder, device, matching=None):
    """A worker that writes folder/ID.npz, the class activation of (ID, image path, class indices), and returns the ID.

    network: the arguments of load_classifier without the device, such as "gpu0", on which it works.
    """
    context = devices(device)[0]
    net = load_classifier(*network, context, matching)

    def write(item):
        image_id, path, class_ids = item
        maps, _ = activation_maps(net, read_image(path), class_ids, scales, device=context)
        save_cam(Path(folder) / f"{image_id}.npz", np.array(class_ids), maps)
        return image_id

    return Each(write)


def score_worker(network, flip, device):
    """A worker that returns (ID, scores of the classes) of (ID, image path), at its own size; flip: with its mirror."""
    context = devices(device)[0]
    net = load_classifier(*network, context)

    def score(item):
        image_id, path = item
        return image_id, activation_maps(net, read_image(path), (), (1.0,), flip, context)[1]

    return Each(score)
