"""Small data sets on disk for the tests of everything that reads VOC layout."""
import numpy as np
from PIL import Image

from cian.base.files import write_text
from cian.data.images import write_label
from cian.data.voc import VOC_CLASSES


def write_image(path, height=6, width=8, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.RandomState(seed).randint(0, 256, (height, width, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(str(path))


def write_annotation(path, objects):
    """objects: names, or (name, difficult) pairs; difficult None leaves the element out."""
    pairs = [(entry, 0) if isinstance(entry, str) else entry for entry in objects]
    body = "".join(f"<object><name>{name}</name>" + ("" if hard is None else f"<difficult>{hard}</difficult>")
                   + "</object>" for name, hard in pairs)
    write_text(path, f"<annotation>{body}</annotation>")


def write_dataset(root, lists, masks="SegmentationClassAug"):
    """lists: {list name: {id: label (H, W)}}; the tags in the XML are the classes of the label, by VOC's names."""
    for name, labels in lists.items():
        write_text(root / "ImageSets" / "Segmentation" / f"{name}.txt", "".join(f"{key}\n" for key in labels))
        for key, label in labels.items():
            write_image(root / "JPEGImages" / f"{key}.jpg", *label.shape, seed=len(key))
            write_annotation(root / "Annotations" / f"{key}.xml",
                             [VOC_CLASSES[value] for value in np.unique(label) if 0 < value < 255])
            write_label(root / masks / f"{key}.png", label)
    return root
