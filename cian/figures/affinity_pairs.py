"""Pairs of images under the affinity module: what each looks at in the other, and how much of that is right (CIAN, Fig. 3)."""

from pathlib import Path
from typing import NamedTuple, Optional, Tuple

import numpy as np

from cian.base.files import read_json, write_json, write_text
from cian.base.runtime import devices
from cian.base.workers import Each
from cian.data.images import read_image, read_label
from cian.figures.affinity import draw_pair
from cian.figures.affinity_maps import PairMaps, measure_pair
from cian.figures.affinity_page import page_of
from cian.figures.affinity_probe import AffinityProbe, observe
from cian.figures.sheet import write_png
from cian.inference.segmenter import load_network

FILES = {"png": "fig3_{}.png", "html": "affinity_{}.html"}  # kind of drawing -> its name, of a pair's ids


class Observed(NamedTuple):
    """A pair of images uint8 (H, W, 3), their labels uint8 (H, W), None without a mask, and the PairMaps of both directions."""

    images: Tuple[np.ndarray, np.ndarray]
    labels: Tuple[Optional[np.ndarray], Optional[np.ndarray]]
    maps: Tuple[PairMaps, PairMaps]

    def measure(self, classes):
        """The measure_pair of both directions as a list, empty where a label is missing. classes: how many."""
        if any(label is None for label in self.labels):
            return []
        return [measure_pair(*directed, classes) for directed in zip(self.maps, self.labels, self.labels[::-1])]


def observe_pair(probe, backbone, dataset, pair, device=None):
    """The Observed of two ids of a data set. probe, backbone, device: see cian.figures.affinity_probe.observe.

    ValueError names a mask that has not its image's size.
    """
    images = tuple(read_image(dataset.image_path(name)) for name in pair)
    labels = tuple(read_label(path) if path.is_file() else None for path in map(dataset.mask_path, pair))
    for name, image, label in zip(pair, images, labels):
        if label is not None and label.shape != image.shape[:2]:
            raise ValueError(f"{dataset.mask_path(name)}: expected the image's shape {image.shape[:2]}, found {label.shape}")
    return Observed(images, labels, observe(probe, backbone, images, device))


def look_at_pair(output, observe, pair, tags, classes, kinds=("png",), activation="class", made=""):
    """Measure both directions of a pair, write pairs/ID_ID.json and its drawings into a folder.

    observe: gives the Observed of a pair; tags: {id: class indices}; classes: all names; kinds: of FILES; made: for the page,
    what the network is. Returns the list of measure_pair, empty without truth; a pair that has all its files is read, not
    computed.
    """
    stem, first, second = "_".join(pair), *(set(tags[name]) for name in pair)
    record = Path(output) / "pairs" / f"{stem}.json"
    paths = {kind: Path(output) / FILES[kind].format(stem) for kind in kinds}
    if record.exists() and all(path.exists() for path in paths.values()):
        found = read_json(record)
        if found["pair"] == list(pair):
            return found["measured"]
    seen = observe(pair)
    measured = seen.measure(len(classes))
    common = sorted(first & second) or sorted(first | second)
    if "png" in kinds:
        write_png(paths["png"], draw_pair(seen.maps, seen.images, seen.labels, pair, classes, common, activation))
    if "html" in kinds:
        write_text(paths["html"], page_of(seen, pair, classes, common, made))
    write_json(record, {"pair": list(pair), "measured": measured})
    return measured


def pair_worker(network, merging, dataset, output, tags, drawing, device):
    """A worker that looks at pairs of ids and returns each with its list of measure_pair.

    network: checkpoint, backbone and similarity; merging: merge and merge_self of the AffinityProbe; drawing: kinds, activation
    and made of look_at_pair. ValueError where the network has not as many classes as the data set.
    """
    context = devices(device)[0]
    net = load_network(*network, context)
    if net.fc1.weight.shape[0] != len(dataset.classes):
        classes = f"{net.fc1.weight.shape[0]} classes, but {dataset.root} has {len(dataset.classes)}"
        raise ValueError(f"{network[0]}: {classes}")
    probe = AffinityProbe(net, *merging)

    def seen(pair):
        return observe_pair(probe, net.backbone, dataset, pair, context)

    return Each(lambda pair: (pair, look_at_pair(output, seen, pair, tags, dataset.classes, *drawing)))
