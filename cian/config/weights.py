"""Where each preset takes its ImageNet weights from: families of sources, first to last (cian.models.sources)."""

#: preset -> order of `--init imagenet`. voc12: imgclsmob first, which alone has the published pre-activation ResNets besides
#: MXNet's retired servers; animals: torchvision first, whose SqueezeNet 1.1 is a file of 5 MB; scenes: learned from scratch
WEIGHTS = {
    "voc12": ("imgclsmob", "torchvision", "timm", "gluoncv"),
    "animals": ("torchvision", "timm", "imgclsmob", "gluoncv"),
    "scenes": (),
}
