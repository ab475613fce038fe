"""Settings of IRN: training of its boundary network, and refinement of class activation (Ahn et al., CVPR 2019).

The defaults are those of its published code (`run_sample.py`). `animals` and `scenes` are for machines without a GPU; they
leave out the displacement branch, on which masks of classes do not depend and which takes three quarters of a step's time. The
thresholds of `scenes` suit its broad class activation, and its fewer steps its small images; the walk's threshold and
steps were chosen on the first 200 of its training images, so the tables score the walk on others (FIDELITY row C14).
"""

from dataclasses import dataclass
from typing import Tuple

from cian.config.settings import Settings, setting


@dataclass(frozen=True)
class BoundaryTraining(Settings):
    """Training of IRN's branches on labels made from class activation; the backbone stays as it is."""

    title = "the training of IRN's boundary network"
    backbone: str = setting("resnet50v1b", "network that makes the features")
    displacement: bool = setting(True, "train the displacement branch too; masks of classes do not need it")
    radius: int = setting(10, "pairs of pixels of the boundary map, of stride 4, are nearer than this in the losses", least=2)
    confident_foreground: float = setting(
        0.3, "labels: object where the class activation is above this, after a CRF (IRN: conf_fg_thres)", least=0, most=1
    )
    confident_background: float = setting(
        0.05, "labels: background where no class activation is above this, after a CRF (IRN: conf_bg_thres)", least=0, most=1
    )
    label_crf_iterations: int = setting(10, "mean-field iterations of that CRF; 0 leaves it out", least=0)
    crop: int = setting(
        512, "side of the square training crops, pixels; a multiple of 16", least=1, options=("crop", "crop-size")
    )
    train_scales: Tuple[float, ...] = setting((0.5, 1.5), "smallest and largest factor of the random scaling", above=0, most=16)
    batch: int = setting(32, "images in an update, over all devices and workers", least=1, options=("batch", "batch-size"))
    epochs: int = setting(3, "passes over the training list", least=1)
    optimizer: str = setting("sgd", "update rule", ("sgd", "adam"))
    lr: float = setting(0.1, "learning rate at the start", above=0)
    fast_lr_mult: float = setting(10.0, "factor on the learning rate of the displacement branch", least=0)
    momentum: float = setting(0.0, "momentum of sgd; the published 0.9 never reaches the optimizer", least=0, most=1)
    weight_decay: float = setting(1e-4, "L2 decay of weights and gammas; biases and betas have none", least=0)
    schedule: str = setting("iteration", "poly decay stepped per iteration, as published, or per epoch", ("epoch", "iteration"))
    power: float = setting(0.9, "power of the poly decay", least=0)
    freeze: str = setting("", "comma-separated prefixes of parameters that are not trained besides the backbone's")
    seed: int = setting(0, "seed of everything random", least=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.confident_background > self.confident_foreground:
            raise ValueError(
                f"confident_background: {self.confident_background:g}, expected at most confident_foreground, "
                f"{self.confident_foreground:g}"
            )

    presets = {
        "voc12": {},
        "animals": dict(backbone="squeezenet1.1", displacement=False, crop=256, batch=8),
        "scenes": dict(
            backbone="resnet10",
            displacement=False,
            confident_foreground=0.7,
            confident_background=0.4,
            crop=128,
            train_scales=(0.75, 1.25),
            batch=8,
        ),
    }


@dataclass(frozen=True)
class Refinement(Settings):
    """From class activation to masks, by the random walk or without."""

    title = "the refinement"
    cam_threshold: float = setting(
        0.15, "none and crf: background where no class activation is above this (IRN: cam_eval_thres)", least=0, most=1,
        options=("background-threshold",), old=("cam-threshold",)
    )  # fmt: skip
    walk_threshold: float = setting(
        0.25, "walk: background where no score is above this (IRN: sem_seg_bg_thres)", least=0, most=1
    )
    walk_radius: int = setting(5, "the walk steps to pixels of the boundary map, of stride 4, nearer than this", least=2)
    walk_beta: float = setting(
        10.0, "power of the affinities: larger, and the walk keeps more to places without boundary (IRN: beta)", least=0
    )
    walk_exponent: int = setting(8, "the walk takes 2 to this power steps (IRN: exp_times)", least=0, most=30)
    boundary_size: int = setting(
        512, "images are padded to this square for the network, pixels; larger ones to their own size", least=1
    )
    boundary_flip: bool = setting(True, "boundaries: average with the mirrored image")
    crf_iterations: int = setting(10, "crf: mean-field iterations", least=0)

    presets = {
        "voc12": {},
        "animals": dict(boundary_size=256),
        "scenes": dict(cam_threshold=0.5, walk_threshold=0.5, walk_exponent=4, boundary_size=128),
    }
