"""The archive for the Pascal VOC test server: results/VOC2012/Segmentation/comp6_test_cls/ID.png, palette PNGs.

Source: the development kit's "Submission of Results"; the published code has no test list and no export (FIDELITY row 30).
"""

import contextlib
import gzip
import tarfile
import tempfile
from pathlib import Path

from cian.base.files import replacing
from cian.data.images import read_label, write_label
from cian.data.voc import VOC_CLASSES

FOLDER = "results/VOC2012/Segmentation/comp6_test_cls"
SUFFIXES = (".tgz", ".tar.gz")


def check_submission(path, classes=VOC_CLASSES):
    """ValueError unless the archive's name ends as the server expects, and the classes are those it knows."""
    if not str(path).endswith(SUFFIXES):
        raise ValueError(f"{path}: the archive's name must end in {' or '.join(SUFFIXES)}")
    if tuple(classes) != VOC_CLASSES:
        raise ValueError(f"{path}: the server knows VOC's {len(VOC_CLASSES)} classes, the data set has {', '.join(classes)}")


def pack_submission(path, predictions, ids, size_of=None, progress=None):
    """Write PREDICTIONS/ID.png of all ids into the archive `path`, whole or not at all; the same masks give the same bytes.

    Masks are uint8 (H, W), palette or grey, of the indices of VOC_CLASSES. size_of: function from id to (height, width) of
    the image, to compare; progress: called with 1 for each mask. FileNotFoundError for masks that are missing (before
    anything is written), ValueError for one with other values or of another size, a list that is empty or names an id
    twice, or a wrong ending of `path`.
    """
    check_submission(path)
    ids = sorted(ids)
    doubles = [a for a, b in zip(ids, ids[1:]) if a == b]
    if not ids or doubles:
        found = f"{doubles[0]} twice" if doubles else "none"
        raise ValueError(f"ids: {found}, expected each image once")
    missing = [image_id for image_id in ids if not _mask(predictions, image_id).is_file()]
    if missing:
        raise FileNotFoundError(
            f"{predictions}: {len(missing)} of {len(ids)} masks missing: {', '.join(missing[:5])}"
            + (", ..." if len(missing) > 5 else "")
        )
    with replacing(path) as temporary, tempfile.TemporaryDirectory() as folder, _archive(temporary) as archive:
        for image_id in ids:
            copy = _mask(folder, image_id)  # written anew: with the VOC palette, whatever wrote the prediction
            write_label(copy, _checked(_mask(predictions, image_id), size_of and size_of(image_id)))
            archive.add(str(copy), f"{FOLDER}/{image_id}.png", filter=_anonymous)
            copy.unlink()
            if progress is not None:
                progress(1)


@contextlib.contextmanager
def _archive(path):
    """A .tar.gz to add files to, without the name and time that gzip would note."""
    plain = dict(mode="w", format=tarfile.USTAR_FORMAT)
    with path.open("wb") as file, gzip.GzipFile("", "wb", 9, file, 0) as zipped, tarfile.open(
        fileobj=zipped, **plain
    ) as archive:
        yield archive


def _mask(folder, image_id):
    return Path(folder) / f"{image_id}.png"


def _checked(path, size):
    """The label of a mask, once it is fit to be submitted."""
    label = read_label(path)
    if label.size and label.max() >= len(VOC_CLASSES):
        raise ValueError(f"{path}: value {label.max()}, expected classes 0..{len(VOC_CLASSES) - 1} everywhere")
    if size is not None and label.shape != tuple(size):
        raise ValueError(f"{path}: size {label.shape}, expected that of the image, {tuple(size)}")
    return label


def _anonymous(member):
    """A file of the archive without owner and time, which would make the bytes differ."""
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    member.mode = 0o644
    return member
