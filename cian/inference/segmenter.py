"""Logits of whole images, and the masks made of them with a dense CRF in worker processes while the network works on."""

from collections import OrderedDict, deque

import cv2
from loky import ProcessPoolExecutor

from cian.base.runtime import mx
from cian.data.images import read_image
from cian.data.transforms import pad
from cian.inference.masks import write_masks
from cian.models.checkpoint import load_parameters, read_params, saved_classes
from cian.models.cian import CIAN, STRIDE
from cian.models.multi_scale import MultiScale

FITS = ("pad", "warp")
SIZES_KEPT = 4  # networks for that many image sizes stay prepared


def load_network(path, backbone, similarity, device):
    """The network of a checkpoint, with or without affinity block, as many classes as the file says, hybridized."""
    arrays = read_params(path)
    affinity = any(name.startswith("conv_embed_") for name in arrays)
    net = CIAN(backbone, saved_classes(arrays, path), affinity, similarity)
    net.initialize(ctx=device)
    load_parameters(net, arrays, str(path))
    net.hybridize()
    return net


class Segmenter:
    """Multi-scale logits of single images by a CIAN network (published test procedure).

    fit "pad" (testing): the image is padded at the bottom and right with black to size x size, or, if larger, to its own
    sides rounded up to the stride. fit "warp" (pseudo labels): it is resized to size x size.
    """

    def __init__(self, net, device, size=513, scales=(0.75, 1.0, 1.25), flip=True, fit="pad"):
        if fit not in FITS:
            raise ValueError(f"fit: {fit!r}, expected one of {', '.join(FITS)}")
        if (size - 1) % STRIDE:
            raise ValueError(f"size: {size}, expected a multiple of {STRIDE} plus 1, such as 513")
        self.net, self.device, self.size, self.scales, self.flip, self.fit = net, device, size, scales, flip, fit
        self._prepared = OrderedDict()

    def logits(self, image):
        """uint8 (H, W, 3) RGB -> float32 logits (K, H, W)."""
        height, width = image.shape[:2]
        if self.fit == "warp":
            fitted = cv2.resize(image, (self.size, self.size))
        else:
            fitted, _ = pad(image, None, self.size)
            bottom, right = (-(side - 1) % STRIDE for side in fitted.shape[:2])
            fitted = cv2.copyMakeBorder(fitted, 0, bottom, 0, right, cv2.BORDER_CONSTANT)
        x = mx.nd.array(fitted.transpose(2, 0, 1)[None], ctx=self.device, dtype="float32")  # (H, W, 3) -> (1, 3, H, W)
        small = self._network(fitted.shape[:2])(x)
        large = mx.nd.contrib.BilinearResize2D(small, height=fitted.shape[0], width=fitted.shape[1])
        if self.fit == "warp" and fitted.shape != image.shape:
            large = mx.nd.contrib.BilinearResize2D(large, height=height, width=width)
        return large[0].asnumpy()[:, :height, :width]

    def _network(self, size):
        if size not in self._prepared:
            self._prepared[size] = MultiScale(self.net, size, self.scales, self.flip)
            self._prepared[size].hybridize()
            while len(self._prepared) > SIZES_KEPT:
                self._prepared.popitem(last=False)
        self._prepared.move_to_end(size)
        return self._prepared[size]


def predict_all(segmenter, items, output, crf_iterations, crf_method="exact", workers=1):
    """Predict images and write their masks (write_masks); yields each name when its files are written.

    items: (name, image path, allowed classes or None). The CRF runs in `workers` processes beside the network.
    """
    pool = ProcessPoolExecutor(workers) if crf_iterations else None
    waiting = deque()
    try:
        for name, path, allowed in items:
            task = (path, segmenter.logits(read_image(path)), output, name, crf_iterations, crf_method, allowed)
            if pool is None:
                write_masks(*task)
                yield name
                continue
            waiting.append((name, pool.submit(write_masks, *task)))
            while len(waiting) > 2 * workers:  # bounds the memory: one image's logits are tens of megabytes
                done, future = waiting.popleft()
                future.result()
                yield done
        while waiting:
            done, future = waiting.popleft()
            future.result()
            yield done
    finally:
        if pool is not None:
            pool.shutdown(wait=True, kill_workers=bool(waiting))
