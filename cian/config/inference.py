"""Settings of what comes after a training: seeds and prediction."""

from dataclasses import dataclass
from typing import Tuple

from cian.config.settings import Settings, setting


@dataclass(frozen=True)
class Seeding(Settings):
    """From classifier to seeds (paper, "Initial Seeds")."""

    title = "the seeds"
    cam_scales: Tuple[float, ...] = setting(
        (0.5, 1.0, 1.5, 2.0), "scales of the image whose class activation maps are added", above=0, most=16
    )
    cam_threshold: float = setting(0.3, "foreground where the class activation (CAM) is at least this", least=0, most=1)
    saliency: str = setting("", "method of the embedded saliency: mbd-warm, mbd, rbd or frequency-tuned; empty: mbd-warm")
    saliency_threshold: float = setting(
        -1.0, "background where saliency is at most this; below 0: the method's own (0.06 for DRFI maps in the paper)", most=1
    )

    presets = {"voc12": {}, "animals": dict(cam_scales=(0.5, 1.0, 1.5)), "scenes": dict(cam_scales=(1.0, 1.5))}


@dataclass(frozen=True)
class Inference(Settings):
    """Multi-scale prediction and dense CRF (published code, FIDELITY rows 22-25)."""

    title = "prediction"
    test_size: int = setting(513, "images are padded to this square, pixels; larger ones to their own size", least=1)
    warp_size: int = setting(513, "images are resized to this square to make pseudo labels, pixels", least=1)
    scales: Tuple[float, ...] = setting(
        (0.75, 1.0, 1.25), "scales whose logits are averaged, with their maximum; 1 is needed", above=0, most=16
    )
    flip: bool = setting(True, "average with the mirrored image")
    crf_iterations: int = setting(5, "mean-field iterations of the CRF; 0 leaves it out", least=0)
    crf: str = setting(
        "exact", "exact: all classes; pruned: those that cannot win left out, faster", ("exact", "pruned")
    )

    presets = {
        "voc12": {},
        "animals": dict(warp_size=385, scales=(1.0,), flip=False, crf="pruned"),
        "scenes": dict(test_size=177, warp_size=161, crf="pruned"),
    }


#: preset -> how images are brought to size for a second round's labels: warped to a square (published), or padded as at test
LABEL_FITS = {"voc12": "warp", "animals": "warp", "scenes": "pad"}
