"""Settings of the trainings: segmentation, and the two papers' classifiers."""

from dataclasses import dataclass, replace
from typing import Any, Tuple, Type

from cian.config.settings import Settings, setting


@dataclass(frozen=True)
class Training(Settings):
    """What the trainings of classifiers and segmentation share."""

    backbone: str = setting("resnet101", "network that makes the features")
    batchnorm: str = setting(
        "frozen", "backbone batch normalisation: frozen on global statistics, or trained", ("frozen", "trained")
    )
    freeze: str = setting("", "comma-separated prefixes of parameters that are not trained, such as conv0,fire2")
    crop: int = setting(321, "side of the square training crops, pixels", least=1, options=("crop", "crop-size"))
    batch: int = setting(16, "images in an update, over all devices and workers", least=1, options=("batch", "batch-size"))
    epochs: int = setting(20, "passes over the training list", least=1)
    optimizer: str = setting("sgd", "update rule", ("sgd", "adam"))
    lr: float = setting(5e-4, "learning rate at the start", above=0)
    fast_lr_mult: float = setting(10.0, "factor on the learning rate of the new layers (affinity, fc1, classifier)", least=0)
    momentum: float = setting(0.9, "momentum of sgd", least=0, most=1)
    weight_decay: float = setting(5e-4, "L2 decay of weights and gammas; biases and betas have none", least=0)
    schedule: str = setting(
        "epoch", "poly decay stepped per epoch, as published, or per iteration", ("epoch", "iteration")
    )
    power: float = setting(0.9, "power of the poly decay", least=0)
    seed: int = setting(0, "seed of everything random", least=0)


@dataclass(frozen=True)
class Segmentation(Training):
    """Training of the CIAN network (paper, "Implementation Details" and the published code)."""

    title = "the segmentation network's training"
    train_scales: Tuple[float, ...] = setting((0.5, 0.75, 1.0, 1.25, 1.5), "factors of the random scaling", above=0, most=16)
    affinity: bool = setting(True, "the affinity block; without it the plain DeepLab-LargeFOV of Table 1")
    similarity: str = setting("dot", "affinity of two pixels", ("dot", "cosine"))
    merge: str = setting("max", "how the messages of several references are combined (Eq. 5)", ("max", "avg"))
    merge_self: bool = setting(True, "the image's own message takes part in the merging")
    group_size: int = setting(2, "images in a group: the query and its references", least=1)
    grouping: str = setting("common", "groups with a common class, or random ones (Table 3)", ("common", "random"))
    losses: str = setting(
        "ce+cp",
        "baseline: CE(self); ce: and CE(cross); ce+cp: and both completion terms (Table 2)",
        ("baseline", "ce", "ce+cp"),
    )
    class_set: str = setting(
        "seeds", "classes that completion may use: those of the seed crop, or the image tags", ("seeds", "tags")
    )
    pad_label: int = setting(0, "label of padding: 0 background, as published, or 255 ignored", (0, 255))
    round: int = setting(
        1, "1 starts from a pretrained backbone with a zeroed bn_out gamma; 2 goes on from round one's end (+ RT)", (1, 2)
    )

    presets = {
        "voc12": {},
        "animals": dict(backbone="squeezenet1.1", crop=161, batch=8, epochs=20, optimizer="adam", lr=1e-4),
        "scenes": dict(
            backbone="resnet10",
            crop=129,
            train_scales=(0.75, 1.0, 1.25),
            batch=8,
            epochs=6,
            optimizer="adam",
            lr=1e-3,
        ),
    }


@dataclass(frozen=True)
class Classifier(Training):
    """Training of the classifier behind the seeds (paper, "Initial Seeds"; what it leaves open is chosen here)."""

    title = "the classifier's training"
    backbone: str = setting("vgg16", "network that makes the features")
    train_scales: Tuple[float, ...] = setting((0.5, 0.75, 1.0, 1.25, 1.5), "factors of the random scaling", above=0, most=16)
    epochs: int = setting(15, "passes over the training list", least=1)
    lr: float = setting(1e-3, "learning rate at the start", above=0)

    presets = {
        "voc12": {},
        "animals": dict(backbone="squeezenet1.1", crop=257, batch=8, epochs=8, optimizer="adam", lr=1e-4),
        "scenes": dict(
            backbone="resnet10",
            batchnorm="trained",
            crop=129,
            train_scales=(0.75, 1.0, 1.25),
            batch=16,
            epochs=12,
            optimizer="adam",
            lr=2e-3,
            fast_lr_mult=1.0,
        ),
    }


def frozen_layers(backbone: str) -> str:
    """Prefixes of the parameters that COMNet keeps as on ImageNet, those up to stride 8; resnet10, from scratch, has none."""
    if backbone == "resnet10":
        return ""
    for family, prefixes in {"squeezenet": "conv0,fire2,fire3,fire4,fire5", "vgg": "conv1,conv2,conv3"}.items():
        if backbone.startswith(family):
            return prefixes
    return "conv0,bn0,stage1,stage2"  # ResNets; IRN


@dataclass(frozen=True)
class Matching(Training):
    """Training of COMNet's classifier (its Sec. IV-B, and IRN's published code where that is silent; see FIDELITY.md).

    Groups are of group_size images where images match each other, or share a class; else every image is on its own, as in IRN.
    """

    title = "COMNet's training"
    backbone: str = setting("resnet50v1b", "network that makes the features")
    batchnorm: str = setting(
        "statistics",
        "backbone batch normalisation: statistics frozen, gamma and beta trained; frozen altogether; or trained",
        ("statistics", "frozen", "trained"),
    )
    freeze: str = setting("conv0,bn0,stage1,stage2", "comma-separated prefixes of parameters that are not trained")
    long_side: Tuple[float, ...] = setting((320, 640), "least and largest long side of the resized image, pixels", least=1)
    crop: int = setting(512, "side of the square training crops, pixels", least=1, options=("crop", "crop-size"))
    epochs: int = setting(5, "passes over the training list", least=1)
    lr: float = setting(0.1, "learning rate at the start", above=0)
    momentum: float = setting(0.0, "momentum of sgd; IRN sets 0.9, which its code never uses", least=0, most=1)
    weight_decay: float = setting(1e-4, "L2 decay of weights and gammas; biases and betas have none", least=0)
    schedule: str = setting("iteration", "poly decay stepped per iteration, as published, or per epoch", ("epoch", "iteration"))
    matching: str = setting("both", "matchings of the last features (Table II)", ("none", "inter", "intra", "both"))
    group_size: int = setting(2, "images that are matched with each other (N of Table I)", least=1)
    grouping: str = setting(
        "common", "groups with a common class, or random images (without inter-matching: random, IRN)", ("common", "random")
    )
    updates: int = setting(
        0, "updates in an epoch, by another walk over the list where it gives fewer; 0: as many as it gives", least=0
    )
    alpha: float = setting(1.5, "factor on the features where images match (Eq. 5, Table III)", least=0)
    side: str = setting("cam", "side of a mask that counts: larger mean class activation, or feature norm", ("cam", "norm"))
    padding: str = setting(
        "matched", "padding of the crops in inter-matching: matched like all else, or ignored (ours)", ("matched", "ignored")
    )
    k: int = setting(8, "points that each point is matched with in its image (Table IV)", least=1)
    distance: str = setting("l2", "nearest points: Euclidean, or largest inner product (Eq. 6)", ("l2", "dot"))
    residual: bool = setting(True, "intra-matching adds to the features; without it, it takes their place (Eq. 8)")
    match_init: str = setting(
        "default", "start of intra-matching: default, PyTorch's, with a bias; or zero, without", ("default", "zero")
    )

    @property
    def matches_images(self) -> bool:
        """Has it inter-matching?"""
        return self.matching in ("inter", "both")

    @property
    def images_together(self) -> int:
        """Images that make a group of a batch."""
        return self.group_size if self.matches_images or self.grouping == "common" else 1

    @classmethod
    def preset(cls: Type["Matching"], name: str = "voc12", **changes: Any) -> "Matching":
        """As Settings.preset; unless given, the backbone decides `freeze`, see frozen_layers, and `matching` `grouping`."""
        settings = super().preset(name, **changes)
        decided = dict(
            freeze=frozen_layers(settings.backbone), grouping="common" if settings.matches_images else "random"
        )
        return replace(settings, **{name: value for name, value in decided.items() if name not in changes})

    presets = {
        "voc12": {},
        "animals": dict(
            backbone="squeezenet1.1",
            long_side=(100, 200),  # to the crop as in IRN, 0.625 to 1.25: the crops show most of the image
            crop=161,
            batch=8,
            optimizer="adam",
            lr=1e-4,
        ),
        "scenes": dict(
            backbone="resnet10",
            batchnorm="trained",
            long_side=(80, 160),
            crop=129,
            epochs=12,
            optimizer="adam",
            lr=2e-3,
            fast_lr_mult=1.0,
        ),
    }
