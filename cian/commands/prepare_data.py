"""Prepare a data set: voc12 builds the augmented VOC 2012, coco brings COCO 2014 into its layout, check verifies one, scenes
generates one.
"""
from pathlib import Path

from cian.base.locks import hold
from cian.base.parser import Parser
from cian.base.progress import Progress
from cian.config.arguments import positive
from cian.data import archives, coco_voc, sbd
from cian.data.check import check_dataset
from cian.data.lists import read_id_file
from cian.data.voc import open_dataset
from cian.scenes.generate import generate

NOTES_SHOWN = 10


EXAMPLE = """cian prepare_data voc12 --download downloads --output VOC2012
cian prepare_data check --data VOC2012 --list train_aug"""


def make_parser():
    parser = Parser("cian prepare_data", __doc__, EXAMPLE)
    commands = parser.add_subparsers(dest="command", required=True, metavar="PART")

    voc12 = _add_command(commands, "voc12", build_voc12,
                         "Build SegmentationClassAug and the list train_aug from VOC 2012 and SBD.")
    voc12.add_argument("--voc", type=Path, metavar="DIR", help="folder of VOC 2012 (with JPEGImages), or one above it")
    voc12.add_argument("--sbd", type=Path, metavar="DIR", help="folder of SBD (with cls/*.mat), or one above it")
    voc12.add_argument("--download", type=Path, metavar="DIR", help="first fetch what --voc and --sbd do not name "
                       "(2.0 and 1.4 GB) into this folder, with gluoncv")
    voc12.add_argument("--output", type=Path, metavar="ROOT", help="data set to write, images linked (default: that of VOC)")
    voc12.add_argument("--expect", type=Path, metavar="FILE", help="list of ids that train_aug has to equal")
    voc12.add_argument("--expect-count", type=int, default=sbd.TRAIN_AUG_COUNT, help="ids train_aug has to have")
    voc12.add_argument("--workers", type=positive, help="processes (default: all processors)")

    check = _add_command(commands, "check", check_list,
                         "Verify all images, masks and tags of a list; exit status 1 if there is a fault.")
    check.add_argument("--data", type=Path, required=True, metavar="ROOT", help="data set in VOC layout")
    check.add_argument("--list", required=True, help="name of a list in ImageSets/Segmentation, or a text file of ids")
    check.add_argument("--tags", type=Path, metavar="FILE", help="cls_labels.npy or .csv (default: the data set's own)")
    check.add_argument("--masks", metavar="DIR", help="another folder of ID.png, or 'none' (default: the data set's masks)")
    check.add_argument("--notes", type=int, default=NOTES_SHOWN, help="how many notes to print; they are no faults")
    check.add_argument("--workers", type=positive, help="processes (default: all processors)")

    coco = _add_command(commands, "coco", build_coco,
                        "Bring COCO 2014 into VOC layout: masks, image tags, and the lists train and val.")
    coco.add_argument("--images", type=Path, required=True, metavar="DIR", help="folder of JPEGs, or of train2014 and val2014")
    coco.add_argument("--annotations", type=Path, required=True, metavar="DIR", help="folder of instances_{train,val}2014.json")
    coco.add_argument("--output", type=Path, required=True, metavar="ROOT", help="data set to write")
    coco.add_argument("--link", choices=coco_voc.LINKS, default="symlink", help="how images get into the data set")
    for name, number in coco_voc.COUNTS.items():
        what = "categories" if name == "classes" else f"images with an annotation for the list {name}"
        coco.add_argument(f"--expect-{name}", type=int, default=number, help=f"{what} there have to be; 0 for any number")
    coco.add_argument("--workers", type=positive, help="processes (default: all processors)")

    scenes = _add_command(commands, "scenes", make_scenes, "Generate a data set of drawn scenes in VOC layout.")
    scenes.add_argument("--output", type=Path, required=True, metavar="ROOT", help="data set to write")
    scenes.add_argument("--train", type=positive, default=400, help="images of the list train_aug")
    scenes.add_argument("--val", type=positive, default=100, help="images of the list val")
    scenes.add_argument("--size", type=positive, default=160, help="longer side of the images in pixels")
    scenes.add_argument("--seed", type=int, default=0, help="another seed, other images")

    return parser


def parse_args(argv=None):
    parser = make_parser()
    args = parser.parse_args(argv)
    if args.command == "voc12" and args.download is None and None in (args.voc, args.sbd):
        parser.error("voc12: --voc and --sbd are both needed, or --download DIR for what is not there yet")
    return args


def _add_command(commands, name, run, description):
    command = commands.add_parser(name, description=description, help=description)
    command.set_defaults(run=run)
    return command


def build_voc12(args):
    """Fetch what is missing, build the masks, print their number; returns exit status 0."""
    expected = None if args.expect is None else read_id_file(args.expect)
    voc = args.voc or fetch(archives.VOC_2012, args.download)
    plan = sbd.make_plan(voc, args.sbd or fetch(archives.SBD, args.download), args.output, args.expect_count, expected)
    hold(plan.output)
    with Progress(len(plan.sources), "voc12", "mask") as progress:
        sbd.build(plan, args.workers, progress.update)
    from_sbd = sum(source.suffix == ".mat" for source in plan.sources.values())
    print(f"{plan.output}: {len(plan.sources)} masks, {len(plan.sources) - from_sbd} of VOC and {from_sbd} of SBD; "
          f"train_aug has {len(plan.train_aug)} ids")
    return 0


def fetch(archive, folder):
    """Download and unpack an archive, each only where that is still to do; returns the folder."""
    if (folder / archive.top).is_dir():
        return folder / archive.top
    import cian.base.runtime  # noqa: F401, I001  before gluoncv, which imports MXNet; check and scenes have no use for either
    from gluoncv.utils import download
    path = archives.download_archive(archive, folder, download)
    with Progress(path.stat().st_size, f"unpack {path.name}", "B") as progress:
        return archives.unpack(path, folder, archive, progress.update)


def check_list(args):
    """Print all faults and some notes of a list; returns exit status 1 if there is a fault, else 0."""
    dataset = open_dataset(args.data)
    ids = dataset.read_ids(args.list)
    masks = True if args.masks is None else None if args.masks == "none" else Path(args.masks)
    with Progress(len(ids), "check", "image") as progress:
        faults, notes = check_dataset(dataset, ids, args.tags, masks, args.workers, progress.update)
    for fault in faults:
        print(f"fault: {fault}")
    for note in notes[:args.notes]:
        print(f"note: {note}")
    print(f"{len(ids)} images of {args.list}: {len(faults)} faults; "
          f"{len(notes)} with tags other than the mask's classes")
    return 1 if faults else 0


def build_coco(args):
    """Read the annotations, link the images and draw the masks, print their number; returns exit status 0."""
    sources = coco_voc.find_sources(args.images, args.annotations)
    counts = {name: getattr(args, f"expect_{name}") or None for name in coco_voc.COUNTS}
    if coco_voc.is_finished(args.output, sources.record):
        print(f"{args.output}: complete already")
        return 0
    with Progress(len(coco_voc.SPLITS), "annotations", "file") as progress:
        plan = coco_voc.make_plan(sources, counts, progress.update)
    hold(args.output)
    with Progress(sum(map(len, plan.pictures.values())), "coco", "image") as progress:
        coco_voc.build(plan, args.output, args.link, args.workers, progress.update)
    train, val = (len(plan.pictures[split]) for split in coco_voc.SPLITS)
    print(f"{args.output}: {len(plan.classes)} classes with the background; train has {train} ids, val {val}")
    return 0


def make_scenes(args):
    """Generate the scenes; returns exit status 0."""
    with Progress(args.train + args.val, "scenes", "image") as progress:
        generate(args.output, train=args.train, val=args.val, size=args.size, seed=args.seed, progress=progress.update)
    print(f"{args.output}: {args.train} images for training, {args.val} for validation")
    return 0


def main(argv=None):
    """Run one part; returns its exit status: 0 done, 1 faults found."""
    args = parse_args(argv)
    return args.run(args)
