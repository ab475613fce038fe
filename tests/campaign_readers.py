"""What the campaign damages: a small file of every kind that the project reads, and the function that reads it."""
import argparse
import functools
import shutil
import zipfile
from pathlib import Path
from typing import Callable, NamedTuple

import numpy as np
import scipy.io
import torch_files
from PIL import Image
from safetensors.numpy import save_file

from cian.base.files import read_json, write_json
from cian.base.origin import origin_of
from cian.base.outputs import INPUTS, claim_output
from cian.base.results import read_paper, read_results
from cian.base.runs import Run, file_digest
from cian.base.runtime import mx
from cian.commands import make_seeds, predict
from cian.commands.launch import read_hosts
from cian.config import Segmentation
from cian.data.cams import load_cam, read_seed
from cian.data.coco import read_instances
from cian.data.images import read_image
from cian.data.lists import read_id_file
from cian.data.sbd import read_sbd_mask
from cian.data.voc import open_dataset
from cian.export.predictor import Predictor
from cian.models.checkpoint import load_checkpoint
from cian.models.params import write_params
from cian.models.pretrained import load_pretrained
from cian.models.weight_file import read_weights
from cian.report.training_log import read_log
from cian.scenes.generate import generate
from cian.seeds.saliency import read_saliency
from cian.training.engine import Fit
from cian.training.objectives import SegmentationObjective

ROOT = Path(__file__).resolve().parents[1]


class Target(NamedTuple):
    """A file, how it is read (a function without arguments), and whether damage shows: by a checksum or a comparison."""

    name: str
    path: Path
    read: Callable
    checked: bool = False

    @property
    def stem(self):
        return self.path.name.split("-")[0]  # NAME of NAME-symbol.json and NAME-0000.params


def plain(value):
    """Arrays, which have no equality of their own, as bytes."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, (tuple, list)):
        return [plain(one) for one in value]
    return {name: plain(one) for name, one in value.items()} if isinstance(value, dict) else value


def parameters(net):
    return plain({name: parameter.data().asnumpy() for name, parameter in net.collect_params().items()})


def targets(work):
    """One Target for each kind of file, in a new folder below that of the campaign."""
    here, whole = work / "damaged", work / "whole"
    shutil.rmtree(str(here), ignore_errors=True)
    shutil.copytree(str(work / "data"), str(here / "data"))
    for name in ("train", "make_seeds"):
        shutil.copytree(str(whole / name), str(here / name))
    return inputs(here, work) + own_files(here, work)


def inputs(here, work):
    """Files that people bring."""
    data = here / "data"
    dataset, lists = open_dataset(data), data / "ImageSets" / "Segmentation"
    image_id = dataset.read_ids("train_aug")[0]
    size, tags = read_image(dataset.image_path(image_id)).shape[:2], dataset.read_tags([image_id])
    (here / "tags.csv").write_text(f"id,{dataset.classes[1]},{dataset.classes[2]}\n{image_id},1,0\nb,0,1\n")
    np.save(str(here / "cls_labels.npy"), {image_id: np.eye(6, dtype=np.float32)[0]}, allow_pickle=True)
    mask = np.zeros((40, 50), np.uint8)
    mask[10:30, 10:30] = 3
    scipy.io.savemat(str(here / "mask.mat"), {"GTcls": {"Segmentation": mask, "Boundaries": np.zeros((20, 1)),
                                                        "CategoriesPresent": np.array([3])}})  # fmt: skip
    Image.fromarray((255 * np.random.RandomState(0).rand(*size)).astype(np.uint8)).save(str(here / "salient.png"))
    shutil.copy(str(work / "coco" / "annotations" / "instances_val2014.json"), str(here / "instances.json"))
    shutil.copy(str(ROOT / "experiments" / "paper.csv"), str(here / "paper.csv"))
    shutil.copytree(str(ROOT / "experiments" / "results" / "scenes"), str(here / "results"))
    (here / "hosts").write_text("# two\none\nme@two\n")
    image, xml = dataset.image_path(image_id), dataset.annotation_path(image_id)
    weights = weight_files(here)
    return weights + [
        Target("list of ids", lists / "train_aug.txt", lambda: read_id_file(lists / "train_aug.txt")),
        Target("classes.txt", data / "classes.txt", lambda: open_dataset(data).classes),
        Target("annotation XML", xml, lambda: dataset.read_tags([image_id])),
        Target("tags.csv", here / "tags.csv", lambda: dataset.read_tags([image_id], here / "tags.csv")),
        Target("cls_labels.npy", here / "cls_labels.npy", lambda: dataset.read_tags([image_id], here / "cls_labels.npy")),
        Target("JPEG", image, lambda: plain(read_image(image))),
        Target("label PNG", dataset.mask_path(image_id),
               lambda: plain(read_seed(dataset.mask_path(image_id), size, len(dataset.classes)))),
        Target("saliency PNG", here / "salient.png", lambda: plain(read_saliency(here / "salient.png", size))),
        Target("SBD .mat", here / "mask.mat", lambda: plain(read_sbd_mask(here / "mask.mat"))),
        Target("COCO JSON", here / "instances.json", lambda: repr(read_instances(here / "instances.json"))),
        Target("paper.csv", here / "paper.csv", lambda: read_paper(here / "paper.csv")),
        Target("results.jsonl", here / "results" / "results.jsonl", lambda: repr(read_results(here / "results"))),
        Target("host file", here / "hosts", lambda: read_hosts(here / "hosts")),
        Target("fingerprint of the data", xml, lambda: read_fingerprint(dataset, image_id, tags)),
    ]


def weight_files(here):
    """Weights in the formats that are not .params."""
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    save_file({"a": values, "b": values[0]}, str(here / "weights.safetensors"))
    content = torch_files.ordered({"a": torch_files.tensor("FloatStorage", "0", 12, (3, 4), (4, 1))})
    torch_files.write(here / "weights.pth", content, {"0": values.tobytes()})
    torch_files.write(here / "old.pth", content, {"0": values.tobytes()}, old=True)
    write_params(here / "weights.params", {"arg:a": values})
    with zipfile.ZipFile(str(here / "weights.params.zip"), "w") as archive:
        archive.write(str(here / "weights.params"), "weights.params")
    names = ("weights.safetensors", "weights.pth", "old.pth", "weights.params", "weights.params.zip")
    return [Target(f"weights: {name}", here / name, functools.partial(read_plain_weights, here / name)) for name in names]


def read_plain_weights(path):
    return plain(read_weights(path))


def read_fingerprint(dataset, image_id, tags):
    """A change of an annotation shows in its tags or in the fingerprint of the data set; both are the run's record."""
    return dataset.read_tags([image_id]) == tags and dataset.fingerprint([image_id])


def own_files(here, work):
    """Files that the project writes itself, and reads again."""
    run, seeds, device = here / "train", here / "make_seeds", mx.cpu()
    checkpoint = sorted(run.glob("*.params"))[-1]
    settings = Segmentation.preset("scenes")
    objective = SegmentationObjective(settings, 7, [device])
    fit = Fit(objective, None, Run(run, "cian_resnet10"), settings, [device])
    record, cam = read_json(run / "settings.json"), sorted((seeds / "cam").glob("*.npz"))[0]
    backbone = SegmentationObjective(settings, 7, [device]).net
    shutil.copytree(str(work / "whole" / "export"), str(here / "export"))
    picture = (255 * np.random.RandomState(1).rand(33, 33, 3)).astype(np.uint8)
    claimed, known = read_json(seeds / "seeds.json"), read_json(seeds / INPUTS)
    write_json(here / "pictures" / "pictures.json", {"a": file_digest(cam)})
    shutil.copytree(str(work / "whole" / "scenes"), str(here / "scenes"))

    def resume():
        fit.resume()
        return parameters(objective.net)

    def go_on():
        Run(run, "cian_resnet10").open(record, resume=True)

    def load():
        load_checkpoint(objective.net, checkpoint)
        return parameters(objective.net)

    def start():
        load_pretrained(backbone, str(checkpoint), settings.backbone)
        return parameters(backbone)

    def cut_log():
        Run(run, "cian_resnet10").cut_log(2, 0)
        return (run / "log.jsonl").read_text(encoding="utf-8")

    def masks():
        return plain(Predictor(str(here / "export" / "net"))(picture).label)

    return [
        Target("resume.npz", run / "resume.npz", resume, checked=True),
        Target("settings.json, to resume", run / "settings.json", go_on, checked=True),
        Target("settings.json, of a checkpoint", run / "settings.json", lambda: repr(origin_of(checkpoint))),
        Target("log.jsonl, to resume", run / "log.jsonl", cut_log),
        Target("log.jsonl, for curves", run / "log.jsonl", lambda: plain(read_log(run / "log.jsonl"))),
        Target("checkpoint .params", checkpoint, load),
        Target("starting weights .params", checkpoint, start),
        Target("CAM .npz", cam, lambda: plain(load_cam(cam)), checked=True),
        Target("seeds.json", seeds / "seeds.json", lambda: claim_output(seeds, "seeds.json", claimed), checked=True),
        Target("inputs.json", seeds / INPUTS, lambda: claim_output(seeds, "seeds.json", claimed, known)),
        Target("seeds.json, for --maps", seeds / "seeds.json",
               lambda: make_seeds.recorded_saliency(argparse.Namespace(maps=seeds, saliency_maps=None))),
        Target("pictures.json", here / "pictures" / "pictures.json",
               lambda: predict.finished_pictures(here / "pictures", {"a": cam}), checked=False),
        Target("scenes.json", here / "scenes" / "scenes.json",
               lambda: generate(here / "scenes", train=24, val=4, size=96, workers=1), checked=True),
        Target("symbol JSON", here / "export" / "net-symbol.json", masks),
        Target("export .params", here / "export" / "net-0000.params", masks),
    ]
