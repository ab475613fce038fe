"""Class activation maps of whole images (Zhou et al., CVPR 2016), added over scales and mirroring."""

import cv2
import numpy as np

from cian.base.runtime import mx
from cian.models.cian import STRIDE


def activation_maps(net, image, class_ids, scales=(0.5, 1.0, 1.5, 2.0), flip=True, device=None):
    """Maps of an image's own classes, float32 (C, h, w) in [0, 1] at stride 8, and the scores (classes,) at scale 1.

    net: a CAM classifier, or COMNet, which matches an image with its mirror; image: uint8 (H, W, 3) RGB; class_ids: indices
    with the background as 0, so class c is output c - 1.
    ReLU, sum over scales and mirroring, divided by the maximum of each class; a class that is nowhere active stays 0.
    """
    height, width = image.shape[:2]
    small = tuple((side - 1) // STRIDE + 1 for side in (height, width))
    total, scores = 0, None
    for scale in scales:
        sides = [max(int(round(side * scale)), net.least_side) for side in (width, height)]
        scaled = image if sides == [width, height] else cv2.resize(image, tuple(sides))
        views = [scaled, scaled[:, ::-1]] if flip else [scaled]
        x = mx.nd.array(
            np.stack(views).transpose(0, 3, 1, 2), ctx=device, dtype="float32"
        )  # (V, H, W, 3) -> (V, 3, H, W)
        maps = net.maps(x)
        if scale == 1 or scores is None:
            scores = maps.mean(axis=(0, 2, 3)).asnumpy()
        maps = mx.nd.contrib.BilinearResize2D(mx.nd.relu(maps), height=small[0], width=small[1]).asnumpy()
        total = total + maps[0] + (maps[1, :, :, ::-1] if flip else 0)
    own = total[[index - 1 for index in class_ids]]
    peak = own.max(axis=(1, 2), keepdims=True)
    return (own / np.maximum(peak, 1e-5)).clip(0, 1).astype(np.float32), scores
