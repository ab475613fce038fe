"""The networks that can be exported: by method, backbone and checkpoint, and the catalogue committed in `symbols/`."""

from pathlib import Path

from cian.base.origin import Origin
from cian.base.runtime import mx
from cian.config import Inference
from cian.data.voc import VOC_CLASSES, read_classes
from cian.export.export import ClassifierOutput, inference_block, trace
from cian.export.exported import CLASSIFIERS, description, export_files, read_symbol
from cian.models.cam import CAM
from cian.models.checkpoint import load_parameters, read_params, saved_classes
from cian.models.cian import CIAN, GroupCIAN
from cian.models.comnet import COMNet
from cian.models.pretrained import load_pretrained
from cian.models.weight_cache import choose
from cian.models.weight_file import read_weights
from cian.seeds.classifiers import comnet, is_comnet, settings_of_run

METHODS = ("cian", "largefov", "cam", "comnet")
#: name of a committed symbol -> method, backbone, images in a group (0: the network of single images)
CATALOGUE = {
    "cam_vgg16": ("cam", "vgg16", 0),
    "comnet_resnet50v1b": ("comnet", "resnet50v1b", 0),
    "comnet_resnet50v1b_group": ("comnet", "resnet50v1b", 2),
    "largefov_resnet50": ("largefov", "resnet50", 0),
    "largefov_resnet101": ("largefov", "resnet101", 0),
    "largefov_resnet50v1b": ("largefov", "resnet50v1b", 0),
    "largefov_resnet101v1b": ("largefov", "resnet101v1b", 0),
    "cian_resnet50": ("cian", "resnet50", 0),
    "cian_resnet101": ("cian", "resnet101", 0),
    "cian_resnet50v1b": ("cian", "resnet50v1b", 0),
    "cian_resnet101v1b": ("cian", "resnet101v1b", 0),
    "cian_squeezenet1.1": ("cian", "squeezenet1.1", 0),
    "cian_resnet50_group": ("cian", "resnet50", 2),
    "cian_resnet101_group": ("cian", "resnet101", 2),
    "cian_resnet50v1b_group": ("cian", "resnet50v1b", 2),
    "cian_resnet101v1b_group": ("cian", "resnet101v1b", 2),
}


def build(method, backbone, classes, similarity="dot"):
    """An uninitialised network; classes of a classifier without background. ValueError lists methods or backbones."""
    if method not in METHODS:
        raise ValueError(f"method: {method!r}, expected one of {', '.join(METHODS)}")
    if method == "cam":
        return CAM(backbone, classes)
    if method == "comnet":
        return COMNet(backbone, classes)
    return CIAN(backbone, classes, method == "cian", similarity)


def method_of(arrays, source):
    """The method whose checkpoint {name: array} is: by its layers and its run folder; ValueError names the source, a path."""
    if "classifier_weight" in arrays:
        return "comnet" if "conv_match_weight" in arrays or is_comnet(source) else "cam"
    if "fc1_weight" in arrays and arrays["fc1_weight"].ndim == 4:
        return "cian" if any(name.startswith("conv_embed_") for name in arrays) else "largefov"
    raise ValueError(
        f"{source}: neither a segmentation network (fc1_weight of shape (classes, C, 3, 3)) nor a CAM "
        "(classifier_weight); ImageNet weights are read by --from-published"
    )


def network_of_checkpoint(path, backbone, similarity="dot", device=None):
    """(network, method, classes) of a checkpoint, all parameters loaded; ValueError names what does not fit.

    A COMNet is described by the run folder that its checkpoint lies in (cian.seeds.classifiers.settings_of_run).
    """
    arrays = read_params(path)
    method = method_of(arrays, path)
    classes = arrays["classifier_weight"].shape[0] if method in CLASSIFIERS else saved_classes(arrays, path)
    net = comnet(settings_of_run(path), classes) if method == "comnet" else build(method, backbone, classes, similarity)
    net.initialize(ctx=device or mx.cpu())
    load_parameters(net, arrays, str(path))
    return net, method, classes


def network_of_published(path, backbone, similarity="dot", method="cian", classes=21, device=None):
    """As network_of_checkpoint, for a checkpoint of the published code, or ImageNet weights: SOURCE:NAME or a file.

    ImageNet weights make a network of the given method and classes whose new layers are initialised, which is logged.
    """
    weights = choose(path, backbone)
    if is_network(read_weights(weights.path)):
        return network_of_checkpoint(path, backbone, similarity, device)
    net = build(method, backbone, classes, similarity)
    mx.random.seed(0)
    net.initialize(ctx=device or mx.cpu())
    load_pretrained(net, weights, backbone)
    return net, method, classes


def is_network(arrays):
    """Are these {name: array} a network of ours, a classifier or for segmentation, and not ImageNet weights?"""
    return "classifier_weight" in arrays or getattr(arrays.get("fc1_weight"), "ndim", 0) == 4


def exported_block(net, method, kind="logits", enlarge=False, size=None, scales=(1.0,), flip=False, group=0,
                   merge="max", merge_self=True):  # fmt: skip
    """(block, names of its outputs) to export. group: images in a group, 0 for the network of single images.

    merge, merge_self: of a group's messages, as in training (GroupCIAN).
    """
    if method in CLASSIFIERS or group:
        if tuple(scales) != (1.0,) or flip or enlarge or (group and kind != "logits"):
            raise ValueError("several scales, mirroring, enlarging and labels are for segmentation networks of single images")
        if group and method == "cam":
            raise ValueError(f"group: {group}, but a CAM is trained on single images")
        if group and method == "comnet":
            return net, ["scores"]
        if method in CLASSIFIERS:
            return ClassifierOutput(net, kind), ["scores", "maps"]
        return GroupCIAN(net, group, merge, merge_self), ["self_logits", "cross_logits"]
    return inference_block(net, kind, enlarge, size, scales, flip), [kind]


def export_origin(path):
    """The Origin of an export, `path` as for export_files: it says the preset of the run that it is of, where that is known."""
    symbol_file, _ = export_files(path)
    return Origin(symbol_file, preset=(description(read_symbol(symbol_file)) or {}).get("preset"))


def about(method, backbone, classes, kind="logits", enlarge=False, size=None, scales=(1.0,), flip=False, group=0, preset=None):
    """What an export says about itself: a dictionary for JSON. classes: names, background first (a classifier's without it).

    preset: that of the run, whose test size and CRF are for this network; None where it is not known.
    """
    return {
        **({} if preset is None else {"preset": preset, "test_size": Inference.preset(preset).test_size}),
        "method": method,
        "backbone": backbone,
        "classes": list(classes),
        "output": kind,
        "enlarged": enlarge,
        "size": list(size) if size else None,
        "scales": list(scales),
        "flip": flip,
        "group": group,
    }


def class_names(method, count, text=None, origin=None):
    """Names of `count` classes: those of `text` (given_classes), else VOC's where the number fits, else class1, class2, ...

    origin: that of the checkpoint; names that its run says come first, and `text` may not contradict them (ValueError).
    """
    background = () if method in CLASSIFIERS else ("background",)
    recorded = None if origin is None or origin.classes is None else origin.classes[1 - len(background) :]
    if text is not None:
        names = given_classes(text, method)
        if len(names) != count:
            raise ValueError(f"classes: {len(names)} names, the checkpoint has {count} classes")
        if recorded is not None:
            origin.check_classes(names if background else (origin.classes[0], *names), "--class-names")
        return names
    if recorded is not None and len(recorded) == count:
        return recorded
    voc = background + VOC_CLASSES[1:]
    return voc if count == len(voc) else background + tuple(f"class{index}" for index in range(1, count - len(background) + 1))


def given_classes(text, method):
    """Names of an option --class-names, comma-separated or a file with one a line; those of a classifier without background."""
    names = read_classes(text) if Path(text).is_file() else tuple(name.strip() for name in text.split(","))
    return names[1:] if method in CLASSIFIERS and names[0] == "background" else names


def committed_symbol(name):
    """The text of symbols/NAME-symbol.json."""
    method, backbone, group = CATALOGUE[name]
    names = VOC_CLASSES[1:] if method in CLASSIFIERS else VOC_CLASSES
    block, outputs = exported_block(build(method, backbone, len(names)), method, group=group)
    return trace(block, outputs, about(method, backbone, names, group=group))
