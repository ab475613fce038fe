"""Logits of whole images, and the masks made of them with a dense CRF in worker processes while the network works on."""

from collections import OrderedDict

import cv2

from cian.base.parallel import Beside
from cian.base.runtime import devices, mx
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


def padded(image, size):
    """An image (H, W, 3) with black at the bottom and right, to size x size or, if larger, to sides of the stride plus 1."""
    fitted, _ = pad(image, None, size)
    bottom, right = (-(side - 1) % STRIDE for side in fitted.shape[:2])
    return cv2.copyMakeBorder(fitted, 0, bottom, 0, right, cv2.BORDER_CONSTANT)


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
            fitted = padded(image, self.size)
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


class MaskWorker:
    """Masks of images: logits by a CIAN network here, arg max and CRF in `workers` processes beside it, or here with 0.

    segmenter: a Segmenter; output, crf_iterations, crf_method: see write_masks. Called with (name, image path, allowed classes
    or None), it returns the names whose masks are written by then, `rest` the others.
    """

    def __init__(self, segmenter, output, crf_iterations, crf_method="exact", workers=0):
        self._segmenter, self._output, self._crf = segmenter, output, (crf_iterations, crf_method)
        self._beside = Beside(workers if crf_iterations else 0)

    def __call__(self, item):
        name, path, allowed = item
        logits = self._segmenter.logits(read_image(path))
        return self._beside.add(name, write_masks, path, logits, self._output, name, *self._crf, allowed)

    def rest(self):
        """Wait for the processes; the names of what they have written."""
        return self._beside.rest()

    def close(self):
        """End the processes."""
        self._beside.close()


def mask_worker(network, view, masks, device):
    """The MaskWorker of a checkpoint; network, view, masks: arguments of load_network, Segmenter, MaskWorker."""
    context = devices(device)[0]
    return MaskWorker(Segmenter(load_network(*network, context), context, *view), *masks)
