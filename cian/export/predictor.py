"""Masks of any picture from an exported model: `Predictor("exports/cian_resnet101")("photo.jpg").label`.

Needs MXNet, and of this package neither networks nor training code.
"""

import threading
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple, Union

import cv2
import numpy as np
from PIL import Image

from cian.base.runtime import devices, mx
from cian.data.images import IGNORE
from cian.data.pictures import read_picture
from cian.export.exported import CLASSIFIERS, load_export
from cian.figures.sheet import legend_of, overlay, sheet

Picture = Union[str, Path, Image.Image, np.ndarray]
Sides = Union[int, Tuple[int, int]]  # (height, width), or one number for both
STRIP = 4_000_000  # values of an enlarged strip of maps that are held at once
#: of a symbol that says nothing
ABOUT: Dict[str, Any] = {
    "method": "cian", "output": "logits", "classes": None, "size": None, "group": 0, "test_size": 513}  # fmt: skip


class Predictor:
    """Predict masks of pictures with an export of tools/export.py.

    model: name of the export (without ending) or one of its two files. device: such as "cpu" or "gpu0".
    size: sides (height, width), or one number, that pictures are fitted into, each a multiple of 8 plus 1; larger pictures are
    reduced, smaller ones padded with black at the bottom and right, as published. An export of fixed size brings its own; None
    is the test size of the run that it is of, else 513.
    Memory depends on `size` and on the finished label map; what reading a picture takes, cian.data.pictures says.

    May be shared between threads: a lock lets one batch at a time through the network; reading and enlarging run beside it.
    ValueError, FileNotFoundError: see cian.export.exported.load_export; also for exports that make no masks.
    """

    sides: Tuple[int, int]
    output: str
    classes: Optional[List[str]]

    def __init__(self, model: Union[str, Path], device: str = "cpu", size: Optional[Sides] = None) -> None:
        context = devices(device)[0]
        block, told = load_export(model, context)
        about = {**ABOUT, **(told or {})}
        self._set(block, about, context, about["test_size"] if size is None else size, str(model))

    @classmethod
    def of_network(
        cls, block: Any, classes: Sequence[str], device: Any = None, size: Sides = 513, kind: str = "logits"
    ) -> "Predictor":
        """A predictor of a Gluon network (N, 3, H, W) -> logits, or probabilities, (N, K, h, w) that is at hand.

        device: an mx.Context, None the CPU.
        """
        self = cls.__new__(cls)
        self._set(block, {**ABOUT, "classes": list(classes), "output": kind}, device or mx.cpu(), size, "network")
        return self

    def _set(self, block: Any, about: Dict[str, Any], device: Any, size: Sides, source: str) -> None:
        if about["method"] in CLASSIFIERS or about["group"]:
            what = "classifier" if about["method"] in CLASSIFIERS else "training network of groups"
            raise ValueError(f"{source}: a {what}, which makes no masks; expected the export of a segmentation network")
        sides = about["size"] or ((size, size) if isinstance(size, int) else size)
        if len(sides) != 2 or any(side < 1 or (side - 1) % 8 for side in sides):
            raise ValueError(f"size: {size}, expected multiples of 8 plus 1, such as 513")
        self._block, self._device, self._lock = block, device, threading.Lock()
        self.sides, self.output, self.classes = (sides[0], sides[1]), about["output"], about["classes"]

    def __call__(self, picture: Picture) -> "Prediction":
        """Prediction of a picture: a path, a Pillow image, or an array uint8 (H, W), (H, W, 3) or (H, W, 4)."""
        return next(self.predict([picture]))

    def predict(self, pictures: Iterable[Picture], batch: int = 4) -> Iterator["Prediction"]:
        """Predictions of pictures, one after the other, `batch` at a time in the network; reads only as far as is asked for."""
        if batch < 1:
            raise ValueError(f"batch: {batch}, expected at least 1")
        waiting: List[Tuple[np.ndarray, Tuple[int, int]]] = []
        for picture in pictures:
            waiting.append(read_picture(picture, self.sides))
            if len(waiting) == batch:
                yield from self._run(waiting)
                waiting = []
        if waiting:
            yield from self._run(waiting)

    def _run(self, fitted: List[Tuple[np.ndarray, Tuple[int, int]]]) -> Iterator["Prediction"]:
        """[(uint8 (h, w, 3), (H, W)), ...] -> their predictions."""
        batch = np.zeros((len(fitted), 3) + self.sides, np.float32)
        for row, (picture, _) in zip(batch, fitted):
            row[:, : picture.shape[0], : picture.shape[1]] = picture.transpose(2, 0, 1)
        with self._lock:
            maps = self._block(mx.nd.array(batch, ctx=self._device))
            if self.output != "labels" and maps.shape[2:] != self.sides:  # (N, K, h, w) at stride 8
                maps = mx.nd.contrib.BilinearResize2D(maps, height=self.sides[0], width=self.sides[1])
            maps = maps.asnumpy()
        if self.output == "labels":
            maps = np.stack([cv2.resize(m, self.sides[::-1], interpolation=cv2.INTER_NEAREST) for m in maps])[:, None]
        if self.classes is None:
            self.classes = ["background"] + [f"class{index}" for index in range(1, maps.shape[1])]
        for values, (picture, size) in zip(maps, fitted):
            height, width = picture.shape[:2]
            yield Prediction(picture, size, values[:, :height, :width].copy(), self.output, self.classes)


class Prediction:
    """What a Predictor says of one picture.

    picture: uint8 (h, w, 3), upright and as small as the network saw it. size: (H, W), the picture's own, upright.
    classes: names of the K classes by index.
    """

    picture: np.ndarray
    size: Tuple[int, int]
    classes: Sequence[str]

    def __init__(
        self, picture: np.ndarray, size: Tuple[int, int], maps: np.ndarray, kind: str, classes: Sequence[str]
    ) -> None:
        self.picture, self.size, self.classes = picture, (size[0], size[1]), classes
        self._maps, self._kind = maps, kind

    @property
    def logits(self) -> np.ndarray:
        """float32 (K, h, w) at the size of `picture`; up to a constant of each pixel where the export makes probabilities."""
        self._need_values("logits")
        return self._maps if self._kind == "logits" else np.log(np.maximum(self._maps, 1e-30))

    @property
    def probabilities(self) -> np.ndarray:
        """float32 (K, h, w) at the size of `picture`, 1 in sum over the classes."""
        self._need_values("probabilities")
        if self._kind == "probabilities":
            return self._maps
        powers = np.exp(self._maps - self._maps.max(axis=0))
        return powers / powers.sum(axis=0)

    @property
    def label(self) -> np.ndarray:
        """Class indices uint8 (H, W) at the picture's own size: the maps enlarged (bilinear, aligned corners), then arg max."""
        small = self.small_label
        if small.shape == self.size:
            return small
        if self._kind == "labels":
            return enlarge_label(small, self.size)
        return enlarged_arg_max(self._maps, self.size)

    @property
    def small_label(self) -> np.ndarray:
        """Class indices uint8 (h, w) at the size of `picture`."""
        return (self._maps[0] if self._kind == "labels" else self._maps.argmax(axis=0)).astype(np.uint8)

    @property
    def overlay(self) -> np.ndarray:
        """The picture under its label, uint8 (h, w, 3), at the size of `picture`."""
        return overlay(self.picture, self.small_label)

    def sheet(self, title: str, label: Optional[np.ndarray] = None) -> np.ndarray:
        """The overlay with a title and a legend of its classes, uint8 RGB. label: another label (h, w) than the network's."""
        label = self.small_label if label is None else label
        height, width = label.shape
        cell = (max(width, 240), max(height, 180))
        legend = {**legend_of([label], self.classes), IGNORE: None}  # every pixel has a class
        return sheet([[overlay(self.picture, label)]], [title], legend=legend, cell=cell)

    def _need_values(self, what: str) -> None:
        if self._kind == "labels":
            raise ValueError(f"{what}: this export makes labels only; export with --logits or --probabilities")


def enlarge_label(label: np.ndarray, size: Tuple[int, int]) -> np.ndarray:
    """Label (h, w) at another size (H, W), nearest."""
    return cv2.resize(label, tuple(size)[::-1], interpolation=cv2.INTER_NEAREST)


def enlarged_arg_max(maps: np.ndarray, size: Tuple[int, int]) -> np.ndarray:
    """Arg max uint8 (H, W) of maps (K, h, w) enlarged bilinearly with aligned corners, in strips of bounded memory."""
    height, width = size
    label = np.empty((height, width), np.uint8)
    left, right, across = _positions(maps.shape[2], width)
    above, below, down = _positions(maps.shape[1], height)
    rows = max(1, STRIP // (len(maps) * width))
    for start in range(0, height, rows):
        part = slice(start, start + rows)
        fraction = down[part][:, None]
        strip = maps[:, above[part]] * (1 - fraction) + maps[:, below[part]] * fraction  # (K, rows, w)
        label[part] = (strip[:, :, left] * (1 - across) + strip[:, :, right] * across).argmax(axis=0)  # of (K, rows, W)
    return label


def _positions(small: int, large: int) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each of `large` pixels its two neighbours among `small` and the weight of the second."""
    place = np.arange(large) * ((small - 1) / max(1, large - 1))
    first = np.minimum(place.astype(np.int64), small - 1)
    return first, np.minimum(first + 1, small - 1), (place - first).astype(np.float32)
