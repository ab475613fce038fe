"""Train the image classifier whose class activation maps become the seeds."""

import argparse

import numpy as np
from tqdm import tqdm

from cian.cli import TrainingBar, add_training_options, chosen_devices, run_tool
from cian.config import Classifier, from_arguments
from cian.data.images import read_image
from cian.data.loader import Examples, Loader, Plan
from cian.data.voc import open_dataset
from cian.engine import Fit
from cian.files import read_json, write_json
from cian.metrics import mean_average_precision
from cian.models.pretrained import load_pretrained
from cian.objectives import ClassifierObjective, multi_hot
from cian.runs import Run, circumstances, settings_record
from cian.runtime import mx, versions


def parse_args(argv):
    parser = argparse.ArgumentParser(description=__doc__)
    add_training_options(parser, Classifier)
    parser.add_argument("--val-list", default=None, help="list to measure the mean average precision on after training")
    return parser.parse_args(argv)


def measure(net, dataset, ids, tags, device):
    """Average precision of every class, and their mean, of whole images at their own size."""
    scores = []
    for image_id in tqdm(ids, desc="measuring", unit="image"):
        x = mx.nd.array(read_image(dataset.image_path(image_id)).transpose(2, 0, 1)[None], ctx=device, dtype="float32")
        scores.append(net(x).asnumpy()[0])
    return mean_average_precision(np.stack(scores), multi_hot(ids, tags, len(dataset.classes))[:, 1:])


def main(argv=None):
    args = parse_args(argv)
    settings = from_arguments(args, Classifier)
    dataset = open_dataset(args.data)
    ids = dataset.read_ids(args.list)
    tags = dataset.read_tags(ids, args.tags)
    contexts = chosen_devices(args.devices)
    store = mx.kv.create(args.kvstore) if args.kvstore.startswith("dist") else args.kvstore
    rank, ranks = (store.rank, store.num_workers) if args.kvstore.startswith("dist") else (0, 1)

    run = Run(args.output, f"cam_{settings.backbone}", write=rank == 0)
    run.open(
        {
            "tool": "train_cam",
            "settings": settings_record(settings),
            "init": str(args.init),
            "list": args.list,
            "data": dataset.fingerprint(ids),
            "circumstances": circumstances(versions()),
        },
        args.resume,
    )

    classes = len(dataset.classes)
    objective = ClassifierObjective(settings, classes - 1, contexts)
    if args.init != "random":
        load_pretrained(objective.net, args.init, settings.backbone, args.allow_missing)
    plan = Plan(tuple(ids), tags, settings.batch, seed=settings.seed, rank=rank, ranks=ranks)
    examples = Examples(dataset, None, settings.crop, settings.train_scales)

    def to_arrays(batch_ids, made):
        return made[0], multi_hot(batch_ids, tags, classes)[:, 1:]

    bar = TrainingBar(settings.epochs, settings.batch)
    with Loader(plan, examples.make_batch, args.workers) as loader:
        Fit(objective, loader, run, settings, contexts, store, bar).train(to_arrays)
    bar.close()
    measured = run.folder / "tags.json"
    if args.val_list and rank == 0 and not measured.exists():
        val_ids = dataset.read_ids(args.val_list)
        mean, per_class = measure(objective.net, dataset, val_ids, dataset.read_tags(val_ids, args.tags), contexts[0])
        write_json(measured, {"list": args.val_list, "map": mean, "ap": per_class_record(dataset, per_class)})
    if measured.exists():
        scores = read_json(measured)
        print(f"mean average precision on {scores['list']}: {100 * scores['map']:.1f} %")
    print(run.checkpoint_path(settings.epochs - 1))


def per_class_record(dataset, values):
    """{class: average precision, None where the list shows no image of it}."""
    return {name: None if np.isnan(value) else float(value) for name, value in zip(dataset.classes[1:], values)}


if __name__ == "__main__":
    run_tool(main)
