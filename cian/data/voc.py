"""A data set in the layout of Pascal VOC: paths, lists of ids, image tags and a fingerprint.

    root/JPEGImages/ID.jpg (or .png, .tif, ...), Annotations/ID.xml, SegmentationClassAug/ID.png (or SegmentationClass),
    ImageSets/Segmentation/LIST.txt, and classes.txt where the classes are not those of VOC;
    tags.csv (`id,cat,person`), or the cls_labels.npy of the field, instead of the XMLs where those would be 100,000 files
"""
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Tuple

from cian.data import tags
from cian.data.images import LABEL_ENDINGS, PICTURE_ENDINGS, find_file, no_such_image
from cian.data.lists import find_list, read_id_file, read_lines

VOC_CLASSES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor")
MAX_CLASSES = 255  # label images hold indices 0..254; 255 is "ignore"
MASK_FOLDERS = ("SegmentationClassAug", "SegmentationClass")  # the first that exists is used
TAG_TABLE = "tags.csv"  # the image tags of a data set without annotation XMLs
TAG_TABLES = (TAG_TABLE, "cls_labels.npy")  # the first that is there is used
SAMPLE_BYTES = 4096  # of the middle and the end of each image, for the fingerprint


def open_dataset(root):
    """The data set in folder `root` as VOCDataset; classes from root/classes.txt, else VOC's 21.

    Raises FileNotFoundError where root is no folder or has no JPEGImages, ValueError where classes.txt is wrong.
    """
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: no such data set folder")
    if not (root / "JPEGImages").is_dir():
        found = ", ".join(sorted(path.name for path in root.iterdir())[:10]) or "nothing"
        raise FileNotFoundError(f"{root}: expected a data set in VOC layout with a folder JPEGImages, found {found}")
    path = root / "classes.txt"
    return VOCDataset(root, read_classes(path) if path.is_file() else VOC_CLASSES)


def read_classes(path):
    """Class names of a text file, one a line, background first, as a tuple; ValueError names what is wrong."""
    names = [name for _, name in read_lines(path)]
    if len(names) < 2 or names[0] != "background":
        raise ValueError(f"{path}: expected 'background' and at least one class, one a line, found {names[:3]}")
    if len(names) > MAX_CLASSES:
        raise ValueError(f"{path}: {len(names)} classes, expected at most {MAX_CLASSES} (255 means 'ignore')")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{path}: class names must differ, found more than once: {', '.join(twice)}")
    return tuple(names)


@dataclass(frozen=True)
class VOCDataset:
    """A folder in VOC layout and the names of its K classes, background first."""

    root: Path
    classes: Tuple[str, ...] = VOC_CLASSES

    def image_path(self, image_id):
        """Path of the image of an id: ID.jpg, or else the only image of that name, see `find_file`."""
        return find_file(self.root / "JPEGImages", image_id, PICTURE_ENDINGS)

    def annotation_path(self, image_id):
        """Path of the annotation XML of an id."""
        return self.root / "Annotations" / f"{image_id}.xml"

    @property
    def tag_table(self):
        """root/tags.csv or else root/cls_labels.npy, where there is one and no annotation XML, else None."""
        paths = [self.root / name for name in TAG_TABLES if (self.root / name).is_file()]
        return paths[0] if paths and next((self.root / "Annotations").glob("*.xml"), None) is None else None

    @property
    def mask_folder(self):
        """SegmentationClassAug, or SegmentationClass where only that folder exists."""
        folders = [self.root / name for name in MASK_FOLDERS]
        return next((folder for folder in folders if folder.is_dir()), folders[0])

    def mask_path(self, image_id):
        """Path of the ground-truth PNG of an id, in `mask_folder`, see `find_file`."""
        return find_file(self.mask_folder, image_id, LABEL_ENDINGS)

    def list_path(self, name):
        """Path of a list: ImageSets/Segmentation/NAME.txt, or `name` itself where it is the path of a text file.

        Errors as of `find_list`.
        """
        return find_list(name, self.root)

    def read_ids(self, name):
        """The ids of a list, in its order: `name` is that of a list in ImageSets/Segmentation or a text file's path.

        Raises FileNotFoundError for no such list, ValueError for an empty list, an id twice, or a line that is no id.
        """
        return read_id_file(self.list_path(name))

    def read_tags(self, ids, source=None):
        """The image tags: {id: sorted tuple of class indices 1..K-1}, in the order of `ids`.

        source: None for the data set's own, that is its annotation XML (`difficult` objects are left out unless all of
        the image's are) or `tag_table`; or the path of a .npy (the cls_labels.npy of the field) or a .csv (`id,cat,person`,
        values 0 and 1).
        Raises FileNotFoundError, or ValueError that names file and id: unknown class, unknown id, image without tags.
        """
        read = self.tag_reader(source)
        return {image_id: read(image_id) for image_id in ids}

    def tag_reader(self, source=None):
        """A function from one id to its tags; arguments, results and errors as of `read_tags`."""
        source = self.tag_table if source is None else source
        if source is None:
            return lambda image_id: tags.read_xml(self.annotation_path(image_id), self.classes)
        return tags.open_table(source, self.classes)

    def image_digest(self, image_id):
        """SHA-256 (hex) of an image's size and of SAMPLE_BYTES each from its middle and its end: another image has another.

        Raises FileNotFoundError for a missing image.
        """
        return hashlib.sha256(_sample(self.image_path(image_id))).hexdigest()

    def fingerprint(self, ids):
        """SHA-256 (hex) that tells whether two runs saw the same data, wherever it lies on the disk.

        Covers the class names, the ids in their order, and for each id: all bytes of the annotation and of the mask
        (or that there is none), of the image its size and SAMPLE_BYTES each from its middle and its end. It does not
        cover the remaining bytes of the images, nor file dates. Where `tag_table` takes the annotations' place, all of its
        bytes are covered. Raises FileNotFoundError for a missing image.
        """
        total = hashlib.sha256()
        _add(total, "\n".join(self.classes).encode("utf-8"))
        if self.tag_table is not None:
            _add(total, self.tag_table.read_bytes())
        folder = self.mask_folder  # looked up once: this loop runs over 10,000 ids
        for image_id in ids:
            _add(total, str(image_id).encode("utf-8"))
            _add(total, _sample(self.image_path(image_id)))
            for path in (self.annotation_path(image_id), find_file(folder, image_id, LABEL_ENDINGS)):
                _add(total, path.read_bytes() if path.is_file() else None)
        return total.hexdigest()


def _add(total, data):
    """Add one field, length first, so that no two lists of fields give the same bytes; None is not an empty field."""
    total.update(b"none" if data is None else b"%d:" % len(data) + data)


def _sample(path):
    if not path.is_file():
        raise no_such_image(path)
    size = path.stat().st_size
    with open(str(path), "rb") as handle:
        handle.seek(size // 2)
        middle = handle.read(SAMPLE_BYTES)
        handle.seek(max(size - SAMPLE_BYTES, 0))
        return b"%d:" % size + middle + handle.read(SAMPLE_BYTES)
