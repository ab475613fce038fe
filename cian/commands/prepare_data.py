"""Prepare a data set: voc12 builds the augmented VOC 2012, coco brings COCO 2014 into its layout, check verifies one, scenes
generates one.
"""
import argparse
import sys
from pathlib import Path

from tqdm import tqdm

from cian.base.locks import hold
from cian.data import archives, coco_voc, sbd
from cian.data.check import check_dataset
from cian.data.lists import read_id_file
from cian.data.voc import open_dataset
from cian.scenes.generate import generate

NOTES_SHOWN = 10


def parse_args(argv=None):
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    voc12 = _add_command(commands, "voc12", build_voc12,
                         "Build SegmentationClassAug and the list train_aug from VOC 2012 and SBD.")
    voc12.add_argument("--voc", type=Path, help="folder of VOC 2012 (with JPEGImages), or one above it")
    voc12.add_argument("--sbd", type=Path, help="folder of SBD (with cls/*.mat, train.txt, val.txt), or one above it")
    voc12.add_argument("--download", type=Path, metavar="DIR", help="first fetch what --voc and --sbd do not name "
                       "(2.0 and 1.4 GB) into this folder, with gluoncv")
    voc12.add_argument("--output", type=Path, help="data set to write, its images linked to VOC's; VOC's if not given")
    voc12.add_argument("--expect", type=Path, metavar="FILE", help="list of ids that train_aug has to equal")
    voc12.add_argument("--expect-count", type=int, default=sbd.TRAIN_AUG_COUNT, help="ids train_aug has to have")
    voc12.add_argument("--workers", type=int, help="processes; all processors if not given")

    check = _add_command(commands, "check", check_list,
                         "Verify all images, masks and tags of a list; exit status 1 if there is a fault.")
    check.add_argument("--data", type=Path, required=True, help="data set in VOC layout")
    check.add_argument("--list", required=True, help="name of a list in ImageSets/Segmentation, or a text file of ids")
    check.add_argument("--tags", type=Path, help="cls_labels.npy or .csv; the data set's own if not given")
    check.add_argument("--masks", help="another folder of ID.png, or 'none'; the data set's masks if not given")
    check.add_argument("--notes", type=int, default=NOTES_SHOWN, help="how many notes to print; they are no faults")
    check.add_argument("--workers", type=int, help="processes; all processors if not given")

    coco = _add_command(commands, "coco", build_coco,
                        "Bring COCO 2014 into VOC layout: masks, image tags, and the lists train and val.")
    coco.add_argument("--images", type=Path, required=True, help="folder of the JPEGs, or with train2014 and val2014 in it")
    coco.add_argument("--annotations", type=Path, required=True, help="folder of instances_{train,val}2014.json")
    coco.add_argument("--output", type=Path, required=True, help="data set to write")
    coco.add_argument("--link", choices=coco_voc.LINKS, default="symlink", help="how images get into the data set")
    for name, number in coco_voc.COUNTS.items():
        what = "categories" if name == "classes" else f"images with an annotation for the list {name}"
        coco.add_argument(f"--expect-{name}", type=int, default=number, help=f"{what} there have to be; 0 for any number")
    coco.add_argument("--workers", type=int, help="processes; all processors if not given")

    scenes = _add_command(commands, "scenes", make_scenes, "Generate a data set of drawn scenes in VOC layout.")
    scenes.add_argument("--output", type=Path, required=True, help="data set to write")
    scenes.add_argument("--train", type=int, default=400, help="images of the list train_aug")
    scenes.add_argument("--val", type=int, default=100, help="images of the list val")
    scenes.add_argument("--size", type=int, default=160, help="longer side of the images in pixels")
    scenes.add_argument("--seed", type=int, default=0, help="another seed, other images")

    args = parser.parse_args(argv)
    if args.command == "voc12" and args.download is None and None in (args.voc, args.sbd):
        voc12.error("--voc and --sbd are both needed, or --download DIR for what is not there yet")
    return args


def _add_command(commands, name, run, description):
    command = commands.add_parser(name, description=description, help=description,
                                  formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    command.set_defaults(run=run)
    return command


def build_voc12(args):
    """Fetch what is missing, build the masks, print their number; returns exit status 0."""
    expected = None if args.expect is None else read_id_file(args.expect)
    voc = args.voc or fetch(archives.VOC_2012, args.download)
    plan = sbd.make_plan(voc, args.sbd or fetch(archives.SBD, args.download), args.output, args.expect_count, expected)
    hold(plan.output)
    with tqdm(total=len(plan.sources), unit="mask", desc="voc12") as bar:
        sbd.build(plan, args.workers, bar.update)
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
    with tqdm(total=path.stat().st_size, unit="B", unit_scale=True, desc=f"unpack {path.name}") as bar:
        return archives.unpack(path, folder, archive, bar.update)


def check_list(args):
    """Print all faults and some notes of a list; returns exit status 1 if there is a fault, else 0."""
    dataset = open_dataset(args.data)
    ids = dataset.read_ids(args.list)
    masks = True if args.masks is None else None if args.masks == "none" else Path(args.masks)
    with tqdm(total=len(ids), unit="image", desc="check") as bar:
        faults, notes = check_dataset(dataset, ids, args.tags, masks, args.workers, bar.update)
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
    with tqdm(total=len(coco_voc.SPLITS), unit="file", desc="annotations") as bar:
        plan = coco_voc.make_plan(sources, counts, bar.update)
    hold(args.output)
    with tqdm(total=sum(map(len, plan.pictures.values())), unit="image", desc="coco") as bar:
        coco_voc.build(plan, args.output, args.link, args.workers, bar.update)
    train, val = (len(plan.pictures[split]) for split in coco_voc.SPLITS)
    print(f"{args.output}: {len(plan.classes)} classes with the background; train has {train} ids, val {val}")
    return 0


def make_scenes(args):
    """Generate the scenes; returns exit status 0."""
    with tqdm(total=args.train + args.val, unit="image", desc="scenes") as bar:
        generate(args.output, train=args.train, val=args.val, size=args.size, seed=args.seed, progress=bar.update)
    print(f"{args.output}: {args.train} images for training, {args.val} for validation")
    return 0


def main(argv=None):
    """Run one command; returns its exit status: 0 done, 1 faults found, 2 an error, 130 interrupted."""
    args = parse_args(argv)
    try:
        return args.run(args)
    except (OSError, ValueError, RuntimeError) as error:
        sys.stderr.write(f"\nprepare_data: {error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("\nprepare_data: interrupted; run the same command again to go on\n")
        return 130
