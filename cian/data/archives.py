"""The archives of VOC 2012 and SBD: where they are, and unpacking them whole or not at all.

Addresses and SHA-1 sums as in gluon-cv's scripts/datasets/pascal_voc.py.
"""
import os
import shutil
import tarfile
import zlib
from collections import namedtuple
from pathlib import Path, PurePosixPath

Archive = namedtuple("Archive", "url sha1 top wanted")  # top: the folder it unpacks to; wanted: what is needed below it

VOC_2012 = Archive(
    "http://host.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar",
    "4e443f8a2eca6b1dac8a6c57641b67dd40621a49", "VOCdevkit",
    tuple(f"VOC2012/{name}" for name in ("JPEGImages", "Annotations", "SegmentationClass", "ImageSets")))
SBD = Archive(
    "http://www.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/semantic_contours/benchmark.tgz",
    "7129e0a480c2d6afb02b517bb18ac54283bfaa35", "benchmark_RELEASE",
    ("dataset/cls", "dataset/train.txt", "dataset/val.txt"))


def download_archive(archive, folder, download):
    """Path of the archive's file in `folder`, fetched if it is not there or has another SHA-1.

    download: a function (url, path=, sha1_hash=) such as gluoncv.utils.download.
    Raises ConnectionError, which says how to go on by hand, where the file cannot be had.
    """
    path = Path(folder) / archive.url.rsplit("/", 1)[1]
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        download(archive.url, path=str(path), sha1_hash=archive.sha1)
    except (OSError, RuntimeError, UserWarning) as error:  # no network; not found; another SHA-1
        raise ConnectionError(f"{archive.url} cannot be downloaded: {error}\nFetch it in another way, put it at {path} "
                              "and run the command again") from None
    return path


def unpack(path, folder, archive, progress=None):
    """Unpack the wanted parts of a tar file; returns folder/top, which appears when it is complete.

    progress: called with the number of bytes of the file just read, such as the `update` of a tqdm bar.
    Raises ValueError that names the file where it is no tar file, lacks a part, or a member points outside its folder.
    """
    partial = Path(folder) / f"{archive.top}.partial"
    if partial.exists():
        shutil.rmtree(str(partial))
    try:
        with open(str(path), "rb") as handle, tarfile.open(fileobj=handle) as tar:
            done = 0
            for member in tar:
                _unpack_member(tar, member, partial, archive)
                if progress is not None:
                    progress(handle.tell() - done)
                    done = handle.tell()
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise ValueError(f"{path}: cannot be unpacked ({error})") from None
    absent = [name for name in archive.wanted if not (partial / name).exists()]
    if absent:
        raise ValueError(f"{path}: expected {', '.join(archive.wanted)} below {archive.top}, "
                         f"found no {', '.join(absent)}")
    os.replace(str(partial), str(Path(folder) / archive.top))
    return Path(folder) / archive.top


def _unpack_member(tar, member, partial, archive):
    """Write one regular file, if it is wanted; links, devices and folders are never made from the archive."""
    parts = PurePosixPath(member.name).parts
    if ".." in parts or member.name.startswith("/"):
        raise tarfile.TarError(f"its member {member.name} points outside")
    parts = parts[1:] if parts[:1] == (".",) else parts
    inside = "/".join(parts[1:])
    if not member.isfile() or parts[0] != archive.top:
        return
    if any(inside == name or inside.startswith(name + "/") for name in archive.wanted):
        target = partial / inside
        target.parent.mkdir(parents=True, exist_ok=True)
        with tar.extractfile(member) as source, open(str(target), "wb") as sink:
            shutil.copyfileobj(source, sink)
