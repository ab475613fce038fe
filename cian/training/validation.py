"""A training watched on images that it does not see: mean IoU after an epoch, and the best epoch, whose checkpoint is kept."""

import logging

import numpy as np

from cian.base.files import write_json
from cian.base.progress import tracked
from cian.base.runtime import mx
from cian.data.images import read_image, read_label
from cian.evaluation.metrics import Scores, confusion_matrix
from cian.inference.segmenter import padded
from cian.models.cian import STRIDE
from cian.report.training_log import VALIDATION, read_validated

log = logging.getLogger(__name__)


class Validation:
    """Mean IoU on a list of a data set after every `every`-th epoch and the last one, of `epochs`.

    Quick, so not what `cian evaluate` finds: one scale, no mirror, no CRF, and only the pixels on which features lie, every
    eighth. Images are padded as at test, to `size`. Classes that the list's truth does not show are left out of the mean.
    """

    def __init__(self, run, net, dataset, name, every, epochs, size, device):
        """name: of the list. FileNotFoundError for a mask that is missing."""
        self.run, self.net, self.dataset, self.name = run, net, dataset, name
        self.every, self.epochs, self.size, self.device = every, epochs, size, device
        self.ids = dataset.read_ids(name)
        missing = [i for i in self.ids if not dataset.mask_path(i).is_file()]
        if missing:
            raise FileNotFoundError(
                f"{dataset.mask_path(missing[0])}: no such mask, needed by --val-list {name} ({len(missing)} missing)"
            )

    def due(self, epoch):
        """Is the network to be measured after epoch number `epoch` (from 0), and has that not been done?"""
        wanted = (epoch + 1) % self.every == 0 or epoch + 1 == self.epochs
        return wanted and epoch not in read_validated(self.run.log_path)

    def __call__(self, epoch, stopped=lambda: False):
        """The mean IoU, a fraction, logged and in best.json if it is; None where it is not due, or once stopped()."""
        if not self.due(epoch):
            return None
        value = self.measure(stopped)
        if value is None:
            return None
        self.run.log(epoch=epoch, **{VALIDATION: value})
        log.info("epoch %d: mean IoU %.2f %% on %d images of %s", epoch + 1, 100 * value, len(self.ids), self.name)
        best = self.run.best()
        # of a later epoch or another list: of a training that was given up, or watched otherwise
        if best is None or best["list"] != self.name or best["epoch"] >= epoch or value > best[VALIDATION]:
            path = self.run.checkpoint_path(epoch)
            write_json(self.run.best_path, {"epoch": epoch, VALIDATION: value, "list": self.name, "checkpoint": path.name})
        return value

    def measure(self, stopped=lambda: False):
        """The mean IoU, a fraction, of the network as it is; None once stopped()."""
        classes = len(self.dataset.classes)
        counts = np.zeros((classes, classes + 1), np.int64)
        for image_id in tracked(self.ids, "validate", "image"):
            if stopped():
                return None
            path = self.dataset.mask_path(image_id)
            truth = read_label(path)[::STRIDE, ::STRIDE]
            counts += confusion_matrix(truth, self.predict(read_image(self.dataset.image_path(image_id))), classes, name=path)
        scores = Scores(self.dataset.classes, counts, len(self.ids))
        return scores.mean_iou([name for name, pixels in zip(scores.classes, scores.truth) if pixels])

    def predict(self, image):
        """Classes (h, w) at every eighth pixel of an image uint8 (H, W, 3), h = (H - 1) // 8 + 1."""
        height, width = ((side - 1) // STRIDE + 1 for side in image.shape[:2])
        x = padded(image, self.size).transpose(2, 0, 1)[None]  # (H, W, 3) -> (1, 3, H, W)
        logits = self.net(mx.nd.array(x, ctx=self.device, dtype="float32"))  # (1, K, h, w)
        return logits[0, :, :height, :width].argmax(axis=0).asnumpy().astype(np.int64)
