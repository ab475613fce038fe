"""Train the CIAN network, or its baselines, on seeds, in groups of images that share a class."""

import argparse
from pathlib import Path

from cian.cli import TrainingBar, add_training_options, chosen_devices, run_tool
from cian.config import Segmentation, from_arguments
from cian.data.loader import Examples, Loader, Plan
from cian.data.voc import open_dataset
from cian.engine import Fit
from cian.models.checkpoint import load_checkpoint
from cian.models.pretrained import load_pretrained
from cian.objectives import SegmentationObjective, multi_hot
from cian.runs import Run, circumstances, folder_digest, settings_record
from cian.runtime import mx, versions


def parse_args(argv):
    parser = argparse.ArgumentParser(description=__doc__)
    add_training_options(parser, Segmentation)
    parser.add_argument("--seeds", required=True, help="folder of label PNGs to train on (255 unlabelled), ID.png")
    return parser.parse_args(argv)


def start_network(net, args, settings):
    """Set the starting weights: round 1 from a backbone with bn_out's gamma zeroed, round 2 from round one's end."""
    if settings.round == 2:
        load_checkpoint(net, args.init)
        return
    if args.init != "random":
        load_pretrained(net, args.init, settings.backbone, args.allow_missing)
    if settings.affinity:
        gamma = net.collect_params("bn_out_gamma")["bn_out_gamma"]
        gamma.set_data(mx.nd.zeros(gamma.shape))


def main(argv=None):
    args = parse_args(argv)
    settings = from_arguments(args, Segmentation)
    dataset = open_dataset(args.data)
    ids = dataset.read_ids(args.list)
    tags = dataset.read_tags(ids, args.tags)
    labels = Path(args.seeds)
    labels_digest = folder_digest(labels, ids, ".png")
    contexts = chosen_devices(args.devices)
    store = mx.kv.create(args.kvstore) if args.kvstore.startswith("dist") else args.kvstore
    rank, ranks = (store.rank, store.num_workers) if args.kvstore.startswith("dist") else (0, 1)

    run = Run(args.output, f"cian_{settings.backbone}", write=rank == 0)
    record = {
        "tool": "train",
        "settings": settings_record(settings),
        "init": str(args.init),
        "list": args.list,
        "data": dataset.fingerprint(ids),
        "seeds": labels_digest,
        "circumstances": circumstances(versions()),
    }
    run.open(record, args.resume)

    objective = SegmentationObjective(settings, len(dataset.classes), contexts)
    start_network(objective.net, args, settings)
    plan = Plan(tuple(ids), tags, settings.batch, settings.group_size, settings.grouping, settings.seed, rank, ranks)
    examples = Examples(dataset, labels, settings.crop, settings.train_scales, settings.pad_label)
    size = settings.group_size

    def to_arrays(batch_ids, made):
        images, crops = made
        hot = multi_hot(batch_ids, tags, len(dataset.classes))
        hot[:, 0] = 1  # completion by tags may always use the background
        return tuple(
            array.reshape((-1, size) + array.shape[1:]) for array in (images, crops, hot)
        )  # (P G, ..) -> (P, G, ..)

    bar = TrainingBar(settings.epochs, settings.batch)
    with Loader(plan, examples.make_batch, args.workers) as loader:
        Fit(objective, loader, run, settings, contexts, store, bar).train(to_arrays)
    bar.close()
    print(run.checkpoint_path(settings.epochs - 1))


if __name__ == "__main__":
    run_tool(main)
