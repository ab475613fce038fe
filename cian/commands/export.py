"""Export a checkpoint as a symbol and parameters that run with MXNet alone: OUTPUT-symbol.json and OUTPUT-0000.params.

The files are loaded again by SymbolBlock.imports and by mx.mod.Module and must equal the network within 1e-5 on random
input, on a photograph, and on every --image; otherwise nothing is written. `--symbols DIR` writes the committed catalogue
instead.
"""

import argparse
import logging
from pathlib import Path

import cv2
import numpy as np
from skimage.data import chelsea

from cian.base.cli import add_preset, chosen_backbone
from cian.base.files import write_text
from cian.base.origin import origin_of
from cian.base.parser import Parser
from cian.config import Classifier, Segmentation, hide
from cian.config.arguments import yes_or_no
from cian.data.images import read_image
from cian.export.export import KINDS, export
from cian.export.exported import CLASSIFIERS
from cian.export.onnx import export_onnx, packages
from cian.export.symbols import (
    CATALOGUE,
    METHODS,
    about,
    class_names,
    committed_symbol,
    exported_block,
    given_classes,
    network_of_checkpoint,
    network_of_published,
)
from cian.models.affinity import MERGES, SIMILARITIES
from cian.models.cian import STRIDE
from cian.models.sources import find, is_source
from cian.models.weight_file import read_weights
from cian.seeds.classifiers import SETTINGS

log = logging.getLogger(__name__)
ONNX_SIZE = (513, 513)  # the published test size
FREE_SIZES = ((129, 129), (161, 97))  # inputs of the verification where the size is free


EXAMPLE = """cian export --checkpoint runs/round2/cian_resnet101-0019.params --labels --output exports/cian_resnet101"""


def make_parser():
    parser = Parser("cian export", __doc__, EXAMPLE)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--checkpoint", metavar="FILE", help="parameters of a segmentation network or classifier trained here (.params)"
    )
    what.add_argument(
        "--from-published",
        metavar="FILE",
        help="a checkpoint of the published code, or ImageNet weights (a file, or SOURCE:NAME of "
        "`cian weights list`), whose missing layers are initialised",
    )
    what.add_argument(
        "--symbols", metavar="DIR", help="write the symbols of the catalogue, without parameters, into this folder"
    )
    parser.add_argument("--output", help="path of the export without ending, such as exports/cian_resnet101")
    parser.add_argument("--overwrite", action="store_true", help="replace an export of that name")
    parser.add_argument(
        "--backbone",
        default=None,
        help="backbone of the checkpoint (default: as its run says; without a run the preset's, of voc12 resnet101, for a CAM "
        "vgg16)",
    )
    add_preset(parser, of_run=True)
    told = "(default: as its run says, else"
    parser.add_argument("--similarity", choices=SIMILARITIES, help=f"affinity of the network {told} dot)")
    parser.add_argument("--merge", choices=MERGES, help=f"of the messages in a group {told} max)")
    parser.add_argument(
        "--merge-self", type=yes_or_no, metavar="yes|no", help=f"merge an image's own message in a group {told} yes)"
    )
    parser.add_argument("--method", default="cian", choices=METHODS, help="network made of ImageNet weights (default: cian)")
    names = parser.add_argument(
        "--class-names",
        "--classes",
        metavar="NAMES",
        help="names of all classes, background first, comma-separated or a file (default: as its run says, else VOC's where "
        "the number fits)",
    )
    hide(names, "--classes")
    kind = parser.add_mutually_exclusive_group()
    for name, text in zip(KINDS, ("the network's logits (default)", "softmax over the classes", "class indices")):
        kind.add_argument(f"--{name}", dest="kind", action="store_const", const=name, help=f"output {text}")
    parser.set_defaults(kind="logits")
    parser.add_argument(
        "--enlarge",
        choices=("yes", "no"),
        default=None,
        help="output at the input's size, else at stride 8 (default: no for logits, yes for the others)",
    )
    parser.add_argument(
        "--size",
        type=two_sides,
        default=None,
        metavar="H,W",
        help="fixed size of the input, multiples of 8 plus 1 such as 513,513 (default: free; with --onnx 513,513)",
    )
    parser.add_argument("--multi-scale", action="store_true", help="scales 0.75, 1, 1.25 and their maximum, as published")
    parser.add_argument("--flip", action="store_true", help="average with the mirrored image, as published")
    size = parser.add_argument(
        "--group-size", "--group", type=int, default=0, help="export the training network, for groups of so many images"
    )
    hide(size, "--group")
    parser.add_argument("--image", action="append", default=[], help="another picture to verify the export on")
    parser.add_argument("--onnx", action="store_true", help="also write OUTPUT.onnx, of fixed size, checked in onnxruntime")
    return parser


def parse_args(argv):
    return make_parser().parse_args(argv)


def two_sides(text):
    """`513,513` -> (513, 513)."""
    sides = tuple(int(word) for word in text.split(","))
    if len(sides) != 2 or min(sides) < 1 or any((side - 1) % STRIDE for side in sides):
        raise argparse.ArgumentTypeError(f"{text!r}, expected H,W, each a multiple of {STRIDE} plus 1, such as 513,513")
    return sides


def inputs(size, images, group):
    """What an export is verified on: random pixels, the cat that scikit-image brings, and the given pictures.

    float32 (1, 3, H, W), of a group (1, G, 3, H, W).
    """
    sizes = [size] if size else FREE_SIZES
    random = np.random.RandomState(0)
    batch = [random.uniform(0, 255, (1, 3) + tuple(sides)) for sides in sizes]
    for picture in [chelsea()] + [read_image(path, upright=True) for path in images]:
        height, width = size or (min(513, (side - 1) // STRIDE * STRIDE + 1) for side in picture.shape[:2])
        batch.append(cv2.resize(picture, (width, height)).transpose(2, 0, 1)[None])
    if group:
        batch = [np.stack([np.roll(x[0], 7 * member, axis=-1) for member in range(group)])[None] for x in batch]
    return [x.astype(np.float32) for x in batch]


def settings_class(args, origin):
    """The settings class whose presets name a backbone for the network, where its run does not."""
    if args.from_published and args.method in CLASSIFIERS:
        return SETTINGS[args.method]
    known = args.backbone is not None or "backbone" in origin.settings
    cam = not known and "classifier_weight" in read_weights(args.checkpoint or args.from_published)
    return Classifier if cam else Segmentation


def main(argv=None):
    args = parse_args(argv)
    if args.symbols:
        for name in CATALOGUE:
            write_text(Path(args.symbols) / f"{name}-symbol.json", committed_symbol(name))
        return
    if not args.output:
        raise ValueError("output: missing; --output is the path of the export without ending")
    if args.onnx:
        packages()
        if args.group_size:
            raise ValueError("--onnx and --group-size: ONNX is for networks of single images")
        if not args.size:
            args.size = ONNX_SIZE
            log.info("--onnx needs a fixed size: %d,%d; give another with --size", *args.size)
    named = args.from_published is not None and is_source(args.from_published)
    if named:
        args.backbone = args.backbone or find(args.from_published).backbone
    origin = origin_of(None if named else args.checkpoint or args.from_published)
    known = args.preset is not None or bool(origin.settings)
    args.preset = origin.decide_preset(args.preset)
    backbone = chosen_backbone(origin, args, settings_class(args, origin))
    origin.fill(args, similarity="dot", merge="max", merge_self=True)
    if args.group_size:
        origin.decide("group_size", args.group_size)
    if args.checkpoint:
        net, method, count = network_of_checkpoint(args.checkpoint, backbone, args.similarity)
    else:
        count = 20 if args.method in CLASSIFIERS else 21
        if args.class_names is not None:
            count = len(given_classes(args.class_names, args.method))
        net, method, count = network_of_published(args.from_published, backbone, args.similarity, args.method, count)
    if args.onnx and method == "comnet" and (net.inter or net.intra):
        raise ValueError("--onnx: MXNet's converter does not know the operators of COMNet's matchings; only of matching none")
    names = class_names(method, count, args.class_names, origin)
    options = dict(
        kind=args.kind,
        enlarge=args.enlarge == "yes" or (args.enlarge is None and args.kind != "logits" and method not in CLASSIFIERS),
        size=args.size,
        scales=(0.75, 1.0, 1.25) if args.multi_scale else (1.0,),
        flip=args.flip,
        group=args.group_size,
    )
    block, outputs = exported_block(net, method, **options, merge=args.merge, merge_self=args.merge_self)
    block.hybridize()
    images = inputs(args.size, args.image, args.group_size)
    targets, deviation = export(
        args.output,
        block,
        outputs,
        about(method, backbone, names, **options, preset=args.preset if known else None),
        images,
        args.overwrite,
        (lambda name: [export_onnx(name, images)]) if args.onnx else None,
    )
    print(
        f"wrote {', '.join(map(str, targets))}: largest deviation from the network {deviation:.2g} "
        f"(relative to the largest value), loaded by SymbolBlock and Module"
    )
