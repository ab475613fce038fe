"""Which backbones a file of weights fits, and what of each is missing, unknown or misshapen."""

import functools
from dataclasses import dataclass
from typing import Tuple

from cian.models.checkpoint import ADDED
from cian.models.comnet import BACKBONES, backbone
from cian.models.pretrained import converted, without_classifier


@dataclass(frozen=True)
class Fit:
    """How a file fits a backbone. label: who names layers so; missing, unknown, misshapen: a text for each parameter.

    known: parameters of the backbone that the file has, whatever their shape.
    """

    backbone: str
    label: str
    known: int
    missing: Tuple[str, ...]
    unknown: Tuple[str, ...]
    misshapen: Tuple[str, ...]

    @property
    def whole(self):
        """Does the backbone start from this file?"""
        return not (self.missing or self.unknown or self.misshapen)


@functools.lru_cache(maxsize=None)
def shapes_of(name):
    """{parameter: shape} of a backbone."""
    return {parameter: p.shape for parameter, p in backbone(name)[0].collect_params().items()}


def fit(arrays, name):
    """The Fit of {name: array} to the backbone `name`; the layers that our networks add to it may be there."""
    shapes = shapes_of(name)
    found, unknown, label = converted(arrays, name, set(shapes))
    kept = {key: value for key, value in without_classifier(found)[0].items() if not key.startswith(ADDED)}
    unknown = list(unknown) + sorted(set(kept) - set(shapes))
    there = sorted(set(kept) & set(shapes))
    wrong = [key for key in there if tuple(kept[key].shape) != tuple(shapes[key])]
    return Fit(
        name,
        label,
        len(there),
        tuple(sorted(set(shapes) - set(kept))),
        tuple(unknown),
        tuple(f"{key} {tuple(kept[key].shape)}, expected {tuple(shapes[key])}" for key in wrong),
    )


def fits(arrays):
    """The Fits of a file to all backbones, the best first: whole ones, then by what they know and what they miss."""
    found = [fit(arrays, name) for name in BACKBONES]
    return sorted(found, key=lambda one: (not one.whole, -one.known, len(one.missing) + len(one.unknown) + len(one.misshapen)))
