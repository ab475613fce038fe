"""IRN's boundary network in training: its objective, and the features it starts from."""

from typing import Any, Dict, Sequence, Tuple

import numpy as np

from cian.config import BoundaryTraining
from cian.models.checkpoint import NEW_BY_DESIGN
from cian.models.irn import IRN, STRIDE
from cian.models.pretrained import load_pretrained
from cian.training.boundary_loss import BoundaryLoss
from cian.training.objectives import prepare, to_device


class BoundaryObjective:
    """IRN's losses: batches are images (N, 3, S, S) and labels (N, S / 4, S / 4)."""

    def __init__(self, settings: BoundaryTraining, devices: Sequence[Any]) -> None:
        self.net = IRN(settings.backbone, settings.displacement)
        self.loss = BoundaryLoss(settings.radius, settings.displacement)
        smallest = STRIDE * (2 * settings.radius - 1)
        if settings.crop < smallest:
            raise ValueError(f"crop: {settings.crop}, expected at least {smallest} pixels for radius {settings.radius}")
        # uniform within 1 / sqrt(inputs), as PyTorch starts the published network
        prepare(self.net, [self.loss], settings.seed, devices, rnd_type="uniform", magnitude=1)

    def __call__(self, batch: Tuple[np.ndarray, ...], device: Any) -> Dict[str, Any]:
        images, labels = to_device(batch, self.net, device)
        outputs = self.net(images)
        outputs = outputs if isinstance(outputs, (list, tuple)) else (outputs,)
        return dict(zip(self.loss.terms, self.loss(outputs[0], labels, *outputs[1:])))


def load_backbone(net, init, backbone, allow_missing=False):
    """Give an IRN the features of `init`: ImageNet weights (as published), or a classifier's or segmentation's checkpoint."""
    load_pretrained(net.backbone, init, backbone, allow_missing, leave_out=NEW_BY_DESIGN)
