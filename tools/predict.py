"""Predict masks of a data set's list with a trained checkpoint: multi-scale, mirrored, with and without dense CRF.

Writes OUTPUT/pred/ID.png and OUTPUT/pred_crf/ID.png. Interrupted, the same command goes on where it stopped. With
--submission it then packs the masks of the list, after the CRF unless that is left out, for the Pascal VOC test server.
"""

import argparse
import hashlib
from pathlib import Path

from tqdm import tqdm

from cian.cli import add_preset, chosen_devices, claim_output, run_tool
from cian.config import Inference, add_arguments, from_arguments
from cian.data.images import read_image
from cian.data.voc import open_dataset
from cian.inference import FITS, Segmenter, predict_all
from cian.models.checkpoint import load_parameters, read_params, saved_classes
from cian.models.cian import CIAN
from cian.runs import settings_record
from cian.submission import check_submission, pack_submission


def parse_args(argv):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", required=True, help="parameters of a CIAN network (.params)")
    parser.add_argument("--backbone", default="resnet101", help="backbone of the checkpoint (default: resnet101)")
    parser.add_argument("--data", required=True, help="data set in VOC layout")
    parser.add_argument("--list", default="val", help="list of ids (default: val)")
    parser.add_argument("--output", required=True, help="folder of the predictions")
    parser.add_argument(
        "--fit",
        choices=FITS,
        default="pad",
        help="pad: published testing; warp: published pseudo labels, the image warped to the square (default: pad)",
    )
    parser.add_argument(
        "--filter-tags", action="store_true", help="only the image's own classes and background may be predicted"
    )
    parser.add_argument(
        "--tags", default=None, help="image tags for --filter-tags: cls_labels.npy or a CSV (default: XML)"
    )
    parser.add_argument(
        "--similarity", default="dot", choices=("dot", "cosine"), help="affinity of the network (default: dot)"
    )
    parser.add_argument("--devices", default=None, help="cpu or gpu0 (default: a GPU if there is one)")
    parser.add_argument("--submission", default=None, metavar="FILE.tgz", help="also write the test server's archive")
    parser.add_argument("--workers", type=int, default=1, help="processes for the CRF (default: 1)")
    add_preset(parser)
    add_arguments(parser, Inference)
    return parser.parse_args(argv)


def load_network(path, backbone, similarity, device):
    """The network of a checkpoint, with or without affinity block, as many classes as the file says."""
    arrays = read_params(path)
    affinity = any(name.startswith("conv_embed_") for name in arrays)
    net = CIAN(backbone, saved_classes(arrays, path), affinity, similarity)
    net.initialize(ctx=device)
    load_parameters(net, arrays, str(path))
    net.hybridize()
    return net


def main(argv=None):
    args = parse_args(argv)
    settings = from_arguments(args, Inference)
    dataset = open_dataset(args.data)
    ids = dataset.read_ids(args.list)
    if args.submission:
        check_submission(args.submission, dataset.classes)
    tags = dataset.read_tags(ids, args.tags) if args.filter_tags else None
    device = chosen_devices(args.devices)[0]
    net = load_network(args.checkpoint, args.backbone, args.similarity, device)
    claim_output(
        args.output,
        "predict.json",
        {
            "checkpoint": hashlib.sha256(Path(args.checkpoint).read_bytes()).hexdigest(),
            "fit": args.fit,
            "filter_tags": args.filter_tags,
            "settings": settings_record(settings),
        },
    )
    todo = [i for i in ids if not (Path(args.output) / "pred" / f"{i}.png").exists()]
    items = ((i, dataset.image_path(i), None if tags is None else (0,) + tags[i]) for i in todo)
    size = settings.test_size if args.fit == "pad" else settings.warp_size
    segmenter = Segmenter(net, device, size, settings.scales, settings.flip, args.fit)
    with tqdm(total=len(ids), initial=len(ids) - len(todo), desc=f"predicting {args.list}", unit="image") as bar:
        for _ in predict_all(segmenter, items, args.output, settings.crf_iterations, settings.crf, args.workers):
            bar.update(1)
    if args.submission:
        masks = Path(args.output) / ("pred_crf" if settings.crf_iterations else "pred")
        with tqdm(total=len(ids), desc=f"packing {args.submission}", unit="mask") as bar:
            pack_submission(args.submission, masks, ids, lambda i: read_image(dataset.image_path(i)).shape[:2], bar.update)


if __name__ == "__main__":
    run_tool(main)
