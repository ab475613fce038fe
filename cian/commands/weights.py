"""ImageNet weights: list what there is, get one, check which backbones a file fits, convert a file to our names.

Files: .params of MXNet (zipped or not), .safetensors, .pth or .pt of PyTorch; nothing in them is executed. Downloads lie in
$CIAN_WEIGHTS, else in ~/.cache/cian/weights. `check` ends with status 0 where a file fits a backbone, 1 where it fits none, 2
where it cannot be read.
"""

from pathlib import Path

import numpy as np

from cian.base.parser import Parser
from cian.base.runtime import mx
from cian.models.checkpoint import save_checkpoint
from cian.models.comnet import BACKBONES
from cian.models.fit import fits, shapes_of
from cian.models.pretrained import converted, without_classifier
from cian.models.sources import SEEN, SOURCES, find, is_source
from cian.models.weight_cache import cache, choose, present
from cian.models.weight_file import read_weights

SHOWN = 4  # names in a line


EXAMPLE = """cian weights list --backbone resnet101
cian weights check resnet101.pth"""


def make_parser():
    parser = Parser("cian weights", __doc__, EXAMPLE)
    commands = parser.add_subparsers(dest="command", required=True, metavar="PART")
    one = commands.add_parser("list", help="the sources by name: backbone, accuracy, size, licence, where, last seen")
    one.add_argument("--backbone", choices=sorted(BACKBONES), default=None, help="only those of one backbone")
    one.set_defaults(run=list_sources)
    one = commands.add_parser("get", help="download a source into the cache")
    one.add_argument("name", help="SOURCE:NAME of `list`")
    one.set_defaults(run=get)
    one = commands.add_parser("check", help="which backbones a file fits; what is missing, unknown or misshapen")
    one.add_argument("file", metavar="FILE", help="file of weights, or SOURCE:NAME")
    one.set_defaults(run=check)
    one = commands.add_parser("convert", help="write a file's weights as .params, under our names, without a classifier")
    one.add_argument("file", metavar="FILE", help="file of weights, or SOURCE:NAME")
    one.add_argument("output", help="the .params file to write")
    one.add_argument("--backbone", choices=sorted(BACKBONES), default=None, help="where a file fits several (default: the one)")
    one.set_defaults(run=convert)
    return parser


def parse_args(argv):
    return make_parser().parse_args(argv)


def list_sources(args):
    """Print the table."""
    chosen = [source for source in SOURCES if args.backbone in (None, source.backbone)]
    if not chosen:
        raise ValueError(f"backbone: no source has weights of {args.backbone}")
    print(f"{'name':36}{'backbone':15}{'top 1':>6}{'MB':>7}  {'licence':13}address")
    for source in chosen:
        size = "?" if source.size is None else f"{source.size:g}"
        here = "" if present(source) is None else "  [in the cache]"
        print(f"{source.name:36}{source.backbone:15}{source.top1:6.2f}{size:>7}  {source.licence:13}{source.address}{here}")
    print(f"\ncache: {cache()}\nlast seen, none of the addresses having been tried:")
    for family in dict.fromkeys(source.family for source in chosen):
        print(f"  {family:12} {SEEN[family]}")
    return 0


def get(args):
    """Download a source unless it is there; print its path."""
    source = find(args.name)
    print(choose(source.name, source.backbone).path)
    return 0


def file_of(name):
    """The path of a file, or of a source, which is downloaded if need be."""
    return choose(name, find(name).backbone).path if is_source(name) else Path(name)


def check(args):
    """Three lines: what fits, what is missing, what is unknown or misshapen, for the best backbone."""
    path = file_of(args.file)
    found = fits(read_weights(path))
    best = found[0]
    whole = [one for one in found if one.whole]
    if whole:
        print(f"{args.file}: fits {', '.join(one.backbone for one in whole)} (names of {best.label})")
    else:
        near = f"; nearest is {best.backbone} (names of {best.label})" if best.known else ": no name is known"
        print(f"{args.file}: fits no backbone{near}")
    print(f"  missing: {some(best.missing) if best.known else 'all'}")
    print(f"  unknown: {some(best.unknown)}; misshapen: {some(best.misshapen)}")
    return 0 if whole else 1


def some(names):
    """`none`, or how many and the first of them."""
    more = ", ..." if len(names) > SHOWN else ""
    return f"{len(names)}: {', '.join(names[:SHOWN])}{more}" if names else "none"


def convert(args):
    """Write OUTPUT; ValueError where the file fits no backbone, or another than --backbone."""
    if Path(args.output).suffix != ".params":
        raise ValueError(f"output: {args.output}, expected a .params file")
    if Path(args.output).exists():
        raise FileExistsError(f"output: {args.output} is there already")
    path = file_of(args.file)
    arrays = read_weights(path)
    whole = [one for one in fits(arrays) if one.whole and args.backbone in (None, one.backbone)]
    if not whole:
        of = f" {args.backbone}" if args.backbone else " any backbone"
        raise ValueError(f"{args.file}: not weights of{of}; `cian weights check {args.file}` tells what is wrong")
    name, shapes = whole[0].backbone, shapes_of(whole[0].backbone)
    source = find(args.file) if is_source(args.file) else None
    scaling = () if source is None else (np.multiply(source.mean, 255), np.multiply(source.std, 255))
    ours, dropped = without_classifier(converted(arrays, name, set(shapes), *scaling)[0])
    finite(ours, args.file)
    kinds = {key: "aux" if key.endswith(("_moving_mean", "_moving_var")) else "arg" for key in ours}
    save_checkpoint(args.output, {f"{kinds[key]}:{key}": mx.nd.array(ours[key], dtype="float32") for key in sorted(ours)})
    print(f"wrote {args.output}: {len(ours)} parameters of {name}")
    return 0


def finite(arrays, source):
    """ValueError unless all values are finite in single precision."""
    for name, value in arrays.items():
        if not np.isfinite(np.float32(value)).all():
            raise ValueError(f"{source}: {name} holds NaN or infinite values")


def main(argv=None):
    args = parse_args(argv)
    return args.run(args)
