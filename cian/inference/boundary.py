"""IRN's boundary network on whole images: the network of a checkpoint, and its boundary maps."""

import numpy as np

from cian.base.origin import origin_of
from cian.base.parallel import Beside
from cian.base.runtime import devices, mx
from cian.data.images import read_image
from cian.models.checkpoint import load_parameters, read_params
from cian.models.irn import IRN, SIDE_MULTIPLE, STRIDE


def load_boundary_network(checkpoint, backbone=None, device=None):
    """The IRN of a checkpoint of `cian train_irn`, on `device`, hybridized.

    backbone: None takes the one that the checkpoint's run folder names, which another may not contradict. FileNotFoundError
    or ValueError say what is wrong.
    """
    arrays = read_params(checkpoint)
    if "boundary6_weight" not in arrays:
        raise ValueError(f"{checkpoint}: not a checkpoint of `cian train_irn` (no boundary6_weight)")
    origin = origin_of(checkpoint)
    backbone = origin.decide("backbone", backbone)
    if backbone is None:
        raise FileNotFoundError(f"{origin.path}: no settings of a run, expected beside the checkpoint; or name the --backbone")
    net = IRN(backbone, displacement="displace8_weight" in arrays)
    net.initialize(ctx=device)
    load_parameters(net, arrays, str(checkpoint))
    net.hybridize()
    return net


def boundary_map(net, image, size=512, flip=True, device=None):
    """Probability of a class boundary, float32 ((H-1)//4+1, (W-1)//4+1), of an image uint8 (H, W, 3) RGB.

    net: an IRN. As published, the image is padded at the bottom and right with the network's mean colour to a square of `size`,
    which group normalisation notices; larger images to the next multiple of 16. flip: logits averaged with the mirror's.
    """
    height, width = image.shape[:2]
    sides = [max(size, side) for side in (height, width)]
    sides = [-(-side // SIDE_MULTIPLE) * SIDE_MULTIPLE for side in sides]
    views = np.empty((2 if flip else 1, *sides, 3), np.float32)
    views[:] = net.backbone.bn_data.moving_mean.data(device).asnumpy()
    views[0, :height, :width] = image
    if flip:
        views[1, :height, :width] = image[:, ::-1]
    logits = net(mx.nd.array(views.transpose(0, 3, 1, 2), ctx=device))  # (V, H, W, 3) -> (V, 3, H, W)
    logits = (logits[0] if isinstance(logits, (list, tuple)) else logits).asnumpy()[:, 0]  # (V, h, w)
    logits = logits[:, : (height - 1) // STRIDE + 1, : (width - 1) // STRIDE + 1]
    mean = (logits[0] + logits[1, :, ::-1]) / 2 if flip else logits[0]
    return (1 / (1 + np.exp(-mean.astype(np.float64)))).astype(np.float32)


class BoundaryWorker:
    """Masks by the random walk: boundary maps by a network here, work(ID, map) in `workers` processes, or here with 0.

    boundary_of(image) gives the map of an image of the data set. Called with an ID, it returns those that are done by then.
    """

    def __init__(self, boundary_of, dataset, work, workers=0):
        self._boundary_of, self._dataset, self._work, self._beside = boundary_of, dataset, work, Beside(workers)

    def __call__(self, image_id):
        boundary = self._boundary_of(read_image(self._dataset.image_path(image_id)))
        return self._beside.add(image_id, self._work, image_id, boundary)

    def rest(self):
        """Wait for the processes; the IDs that they have done."""
        return self._beside.rest()

    def close(self):
        """End the processes."""
        self._beside.close()


def boundary_worker(boundary, dataset, work, workers, device):
    """The BoundaryWorker on a device, such as "gpu0"; boundary: checkpoint and backbone, and size and flip of its maps."""
    (checkpoint, backbone, size, flip), context = boundary, devices(device)[0]
    net = load_boundary_network(checkpoint, backbone, context)
    return BoundaryWorker(lambda image: boundary_map(net, image, size, flip, context), dataset, work, workers)
