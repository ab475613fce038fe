"""ImageNet weights by name, `SOURCE:NAME`: the table of what there is, where, and on what that rests.

Both places of MXNet's own weights were reported unreachable in February 2024 (dmlc/gluon-cv issue 1778), so sources that others
keep alive come first. None of the addresses could be tried when this table was made; `seen` says on what it rests. A size or
checksum that is not known is None.
"""

from dataclasses import dataclass
from typing import Optional, Tuple

IMAGENET = "imagenet"  # as --init: the preset's sources in their order
RANDOM = "random"

OSMR = "https://github.com/osmr/imgclsmob/releases/download"
TORCH = "https://download.pytorch.org/models"
HUB = "https://huggingface.co/timm"
GLUON = "https://apache-mxnet.s3-accelerate.dualstack.amazonaws.com/gluon/models"
#: source -> on what its entries rest
SEEN = {
    "imgclsmob": "address, checksum, accuracy: model_store.py and README of osmr/imgclsmob, commit c1a844d of 2024-09-06",
    "torchvision": "address, size, accuracy: torchvision 0.28.0, installed from PyPI on 2026-11-27",
    "timm": "name, accuracy: pytorch-image-models, commit aa4b585 of 2026-08-08; checksum, size: the hub's pages, undated",
    "gluoncv": "address, checksum: model_store.py of gluoncv 0.10.5; unreachable on 2024-02-08 (dmlc/gluon-cv issue 1778)",
}
NEWER = "-IMAGENET1K_V2"  # torchvision's second weights of a network
MIT, BSD, APACHE = "MIT", "BSD-3-Clause", "Apache-2.0"


@dataclass(frozen=True)
class Source:
    """One file of weights. name: SOURCE:NAME; backbone: ours; top1: accuracy on ImageNet, per cent, as SEEN says.

    checksum: "sha1:HEX" or "sha256:HEX", where HEX may be the beginning alone; of a zip archive it is its member's.
    size: megabytes of the download. mean, std: of the input that the weights were trained for, of RGB 0..1.
    """

    name: str
    backbone: str
    address: str
    checksum: Optional[str]
    size: Optional[float]
    top1: float
    licence: str
    mean: Tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: Tuple[float, float, float] = (0.229, 0.224, 0.225)

    @property
    def family(self):
        """SOURCE of SOURCE:NAME."""
        return self.name.split(":")[0]

    @property
    def file(self):
        """Name of the file in the cache; the hub calls all files alike."""
        last = self.address.rsplit("/", 1)[-1]
        return self.name.split(":")[1] + ".safetensors" if last == "model.safetensors" else last


def _osmr(name, backbone, error, sha1, release, top1):
    address = f"{OSMR}/{release}/{name}-{error}-{sha1[:8]}.params.zip"
    return Source(f"imgclsmob:{name}", backbone, address, f"sha1:{sha1}", None, top1, MIT)


def _torch(name, backbone, sha256, size, top1, entry=""):
    address = f"{TORCH}/{name}-{sha256[:8]}.pth"
    return Source(f"torchvision:{name}{entry}", backbone, address, f"sha256:{sha256}", size, top1, BSD)


def _timm(name, backbone, sha256, size, top1):
    checksum = None if sha256 is None else f"sha256:{sha256}"
    licence = BSD if ".tv_" in name else APACHE
    return Source(f"timm:{name}", backbone, f"{HUB}/{name}/resolve/main/model.safetensors", checksum, size, top1, licence)


def _gluon(name, backbone, sha1, top1):
    return Source(f"gluoncv:{name}", backbone, f"{GLUON}/{name}-{sha1[:8]}.zip", f"sha1:{sha1}", None, top1, APACHE)


SOURCES = (
    # pre-activation, the published backbones
    _osmr("preresnet50b", "resnet50", "0632", "951de2dc558f94f489ce62fedf979ccc08361641", "v0.0.307", 77.64),
    _osmr("preresnet101b", "resnet101", "0540", "3839a4733a8a614bb6b7b4f555759bb5b8013d42", "v0.0.351", 79.15),
    _gluon("resnet50_v2", "resnet50", "ecdde35339c1aadbec4f547857078e734a76fb49", 77.11),
    _gluon("resnet101_v2", "resnet101", "18e93e4f48947e002547f50eabbcc9c83e516aa6", 78.53),
    # post-activation
    _osmr("resnet50b", "resnet50v1b", "0611", "ca12f8d804000bf5202e2e3838dec7ef6b772149", "v0.0.308", 77.94),
    _osmr("resnet101b", "resnet101v1b", "0512", "af5c4233b28c8b7acd3b3ebe02f9f2eda2c77824", "v0.0.357", 79.74),
    _torch("resnet50", "resnet50v1b", "0676ba61", 102.5, 76.13),
    _torch("resnet50", "resnet50v1b", "11ad3fa62ca79e40addfd354a8ec4b7c75143b3038b8d2a807fbc68deab379ca", 102.5, 80.86, NEWER),
    _torch("resnet101", "resnet101v1b", "63fe2227", 178.8, 77.37),
    _torch("resnet101", "resnet101v1b", "cd907fc2", 178.8, 81.89, NEWER),
    _timm("resnet50.tv_in1k", "resnet50v1b", "5d061a3c593d795bfe682d9b152bafbcf550579873492def3515b46db1189888", 102, 76.16),
    _timm("resnet50.gluon_in1k", "resnet50v1b", None, None, 77.58),
    _timm("resnet50.a1_in1k", "resnet50v1b", "773525d5821de224f8f30c33377b7a795d7863e08522698200d3217d3f2a41bb", 102, 80.38),
    _timm("resnet101.tv_in1k", "resnet101v1b", None, 179, 77.40),
    _timm("resnet101.gluon_in1k", "resnet101v1b", None, None, 79.31),
    _gluon("resnet50_v1b", "resnet50v1b", "0ecdba34691be172036ddf244ff1b2eade75ffde", 77.67),
    _gluon("resnet101_v1b", "resnet101v1b", "a455932aa95cb7dcfa05fd040b9b5a5660733c39", 79.20),
    _gluon("resnet50_v1", "resnet50v1", "cc729d95031ca98cf2ff362eb57dee4d9994e4b2", 77.36),
    # VGG16 and SqueezeNet 1.1
    _osmr("vgg16", "vgg16", "0832", "22fe503aa438ebfd1f3128b676db21a06de3cd59", "v0.0.401", 73.39),
    _torch("vgg16", "vgg16", "397923af", 553.4, 71.59),
    _timm("vgg16.tv_in1k", "vgg16", "57b026918159a6bf9faf8405c3a551903768e7138989d9c6224a14227203fad8", 553, 71.59),
    _gluon("vgg16", "vgg16", "e660d4569ccb679ec68f1fd3cce07a387252a90a", 73.23),
    _osmr("squeezenet_v1_1", "squeezenet1.1", "1739", "d7a1483aaa1053c7cd0cf08529b2b87ed2781b35", "v0.0.88", 60.91),
    _torch("squeezenet1_1", "squeezenet1.1", "b8a52dc049b60e4b6ab68ad0df457362afab8b6304b2febdc1650a5dab4d7e7b", 4.96, 58.18),
    _gluon("squeezenet1.1", "squeezenet1.1", "33ba0f93753c83d86e1eb397f38a667eaf2e9376", 54.96),
)
FAMILIES = tuple(SEEN)


def is_source(init):
    """Is this SOURCE:NAME, by its beginning?"""
    return str(init).split(":")[0] in FAMILIES and ":" in str(init)


def find(name, backbone=None):
    """The Source called `name`; ValueError lists those for the backbone where there is none, or where it is for another."""
    found = next((source for source in SOURCES if source.name == name), None)
    if found is not None and backbone in (None, found.backbone):
        return found
    wrong = "unknown" if found is None else f"for the backbone {found.backbone}, not {backbone}"
    known = [source.name for source in SOURCES if backbone in (None, source.backbone)]
    choices = ", ".join(known) if known else "none"
    raise ValueError(f"init: {name} is {wrong}; known{f' for {backbone}' if backbone else ''}: {choices} (cian weights list)")


def in_order(backbone, order):
    """The sources of a backbone, families in this order; ValueError where there is none."""
    found = [source for family in order for source in SOURCES if source.family == family and source.backbone == backbone]
    if not found:
        why = f"no source has weights of {backbone}" if order else "this preset is learned from scratch"
        raise ValueError(f"init: {IMAGENET}, but {why}; give a file, SOURCE:NAME or {RANDOM}")
    return found
