"""The folder of downloaded weights, $CIAN_WEIGHTS, and what `--init` means: a file, SOURCE:NAME, imagenet or random."""

import hashlib
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from cian.base.download import BLOCK, PARTIAL, Unreachable, digest, download
from cian.base.files import DamagedArchive, open_zip
from cian.base.locks import locked
from cian.models.sources import IMAGENET, RANDOM, SEEN, Source, find, in_order, is_source

log = logging.getLogger(__name__)

CACHE = "CIAN_WEIGHTS"


def cache():
    """The folder of downloaded weights: $CIAN_WEIGHTS, else ~/.cache/cian/weights."""
    return Path(os.environ.get(CACHE) or Path.home() / ".cache" / "cian" / "weights")


def place(source):
    """Where the file of a source belongs: CACHE/SOURCE/FILE."""
    return cache() / source.family / source.file


def present(source):
    """The file of a source in the cache, zipped or, put there by hand, unpacked; None where there is neither."""
    path = place(source)
    unpacked = path.with_suffix("") if path.name.endswith(".params.zip") else path.with_suffix(".params")
    return next((found for found in (path, unpacked) if found.is_file()), None)


def check_file(path, source):
    """ValueError unless a file has the checksum of its source; one that is not known is not checked."""
    if source.checksum is None:
        return
    algorithm, expected = source.checksum.split(":")
    try:
        found = _member_digest(path, algorithm) if zipped(path, source) else digest(path, algorithm)
    except DamagedArchive as error:
        raise ValueError(f"{error}; not the file of {source.name}") from None
    if not found.startswith(expected):
        raise ValueError(f"{path}: not the file of {source.name}: {algorithm} {found}, expected {expected}")


def zipped(path, source):
    """Is the checksum of the source that of the one file in this archive?"""
    return source.address.endswith(".zip") and Path(path).suffix in (".zip", PARTIAL)


def _member_digest(path, algorithm):
    total = hashlib.new(algorithm)
    with open_zip(path) as archive:
        if len(archive.infolist()) != 1:
            raise DamagedArchive(f"{path}: {len(archive.infolist())} files, expected one")
        with archive.open(archive.infolist()[0]) as member:
            for block in iter(lambda: member.read(BLOCK), b""):
                total.update(block)
    return total.hexdigest()


def obtain(source):
    """(path, why it was taken) of a source's file: from the cache, else downloaded into it.

    Unreachable names the address; ValueError names a file that has not its source's checksum: in the cache it stays, a download
    of that kind is removed.
    """
    place(source).parent.mkdir(parents=True, exist_ok=True)
    with locked(place(source).parent, lambda: log.info("%s: waiting for another process that downloads", place(source).parent)):
        path = present(source)
        if path is not None:
            check_file(path, source)
            return path, f"in {cache()}"
        log.info("%s: downloading %s to %s", source.name, source.address, place(source))
        download(source.address, place(source), lambda made: check_file(made, source), resume=source.checksum is not None)
        if source.checksum is None:
            log.info("%s: its checksum is not known beforehand; sha256 %s", source.name, digest(place(source)))
        return place(source), f"downloaded from {source.address}"


def by_hand(refused):
    """{Source: why it could not be had} -> how to get them otherwise: addresses, sizes, what was last seen, places."""
    lines = []
    for source, why in refused.items():
        size = "size unknown" if source.size is None else f"{source.size:g} MB"
        lines.append(f"  {source.name} ({size}; {SEEN[source.family]})\n    {why}\n    -> {place(source)}")
    return "\n".join(lines)


@dataclass(frozen=True)
class Chosen:
    """What a network starts from. init: a path as given, SOURCE:NAME, or random; path: its file, None for random.

    why: said aloud and recorded; source: its entry of the table, None for files given by path.
    """

    init: str
    path: Optional[Path]
    why: str
    source: Optional[Source] = None

    def record(self):
        """For settings.json: what was taken, from where, and why."""
        address = None if self.source is None else self.source.address
        return {"taken": self.init, "why": self.why, "file": self.path and str(self.path), "address": address}


def choose(init, backbone, order=()):
    """The Chosen of an option --init for a backbone; order: families of sources that `imagenet` tries, first to last.

    RuntimeError, where nothing can be had, says what to fetch by hand and where to put it; ValueError: an unknown name.
    """
    init = str(init)
    if init == RANDOM:
        return Chosen(init, None, "asked for")
    if init != IMAGENET and not is_source(init):
        return Chosen(init, Path(init), "given")
    candidates = in_order(backbone, order) if init == IMAGENET else [find(init, backbone)]
    refused = {}
    for source in candidates:
        try:
            path, how = obtain(source)
        except (Unreachable, ValueError) as error:
            refused[source] = str(error)
            continue
        before = "; ".join(f"{other.name} could not be had ({why})" for other, why in refused.items())
        first = "asked for" if init != IMAGENET else before or "the first of the preset's sources"
        chosen = Chosen(source.name, path, f"{first}; {how}", source)
        log.info("weights: %s (%s), %s", source.name, source.licence, chosen.why)
        return chosen
    raise RuntimeError(
        f"init: {init}: no weights for {backbone} could be had. Fetch one of these in another way and put it at the place "
        f"behind the arrow ({CACHE} moves the folder), or give --init FILE:\n{by_hand(refused)}"
    )
