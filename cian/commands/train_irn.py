"""Train IRN's boundary network on labels made from class activation, for the random walk of `cian refine`.

--init gives the features, which stay as they are: ImageNet weights, as published, or the classifier's own checkpoint. The
labels are written to OUTPUT/labels/ID.png (255 where class activation is not sure) and kept when the run goes on.
"""

import functools

from cian.base.files import read_json, write_json
from cian.base.parallel import map_parallel
from cian.base.parser import Parser
from cian.base.progress import Progress
from cian.base.runs import folder_digest, settings_record
from cian.config import BoundaryTraining, from_arguments
from cian.data.boundary_examples import BoundaryExamples
from cian.data.cams import cam_path
from cian.data.check import check_images, check_labels
from cian.data.voc import open_dataset
from cian.inference.cam_labels import write_confident_label
from cian.training.boundary import BoundaryObjective, load_backbone
from cian.training.tool import Training, add_training_options

EXAMPLE = """cian train_irn --data VOC2012 --cams runs/seeds/cam --init imgclsmob:resnet50b --output runs/irn"""


def make_parser():
    parser = Parser("cian train_irn", __doc__, EXAMPLE)
    parser.add_argument("--cams", required=True, metavar="DIR", help="class activation maps (CAM): ID.npz of `cian "
                        "make_seeds`, or ID.npy as IRN and WeakTr write them")  # fmt: skip
    add_training_options(parser, BoundaryTraining, with_tags=False)
    return parser


def parse_args(argv):
    return make_parser().parse_args(argv)


def remove_other_labels(folder, made_of):
    """Remove the labels of a start that was given up and had other settings; labels.json says what they are made of."""
    path = folder / "labels.json"
    if path.exists() and read_json(path) == made_of:
        return
    for label in folder.glob("*.png"):
        label.unlink()
    write_json(path, made_of)


def make_labels(dataset, ids, cams, folder, settings):
    """Write the labels that are not there yet, on all processors; how many these were."""
    todo = [i for i in ids if not (folder / f"{i}.png").is_file()]
    work = functools.partial(write_confident_label, dataset, cams, folder, settings)
    with Progress(len(ids), "labels", "image", len(ids) - len(todo)) as progress:
        for _ in map_parallel(work, todo, progress=progress.update):
            pass
    return len(todo)


def main(argv=None):
    args = parse_args(argv)
    settings = from_arguments(args, BoundaryTraining)
    dataset = open_dataset(args.data)
    ids = dataset.read_ids(args.list)
    check_images(dataset, ids)
    training = Training(args, settings, "irn")
    objective = BoundaryObjective(settings, training.devices)
    if training.weights.path is not None:
        load_backbone(objective.net, training.weights, settings.backbone, args.allow_missing)
    training.check_space(objective.net)
    fill = objective.net.backbone.bn_data.moving_mean.data(training.devices[0]).asnumpy()  # zero after the normalisation
    labels = training.run.folder / "labels"
    examples = BoundaryExamples(dataset, labels, settings.crop, settings.train_scales, tuple(fill.tolist()))
    plan = training.plan(ids)
    cams_digest = folder_digest(args.cams, ids, cam_path(args.cams, ids[0]).suffix)
    training.begin("train_irn", dataset, ids, cams=cams_digest)
    if training.run.write and not training.run.begun:
        made_of = {"cams": cams_digest, "data": dataset.fingerprint(ids), "settings": settings_record(settings)}
        remove_other_labels(labels, made_of)
    if make_labels(dataset, ids, args.cams, labels, settings):
        check_labels(dataset, ids, labels)
    print(training.fit(objective, plan, examples.make_batch, lambda batch_ids, made: made))
