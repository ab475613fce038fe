"""Run by the Python of a virtual environment with torch and torchvision: python torch_networks.py FOLDER [KIND ...].

Reads FOLDER/x.npy, scaled images (1, 3, H, W). For each KIND writes FOLDER/KIND.features.npy and the network's random weights
as KIND.pth, as KIND.old.pth in the format of before PyTorch 1.6, and, with the package, as KIND.safetensors. `real` takes the
weights of FOLDER/real.npz, under torchvision's names, for SqueezeNet 1.1. Writes FOLDER/done with the versions.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

library = torch.library.Library("torchvision", "DEF")  # kept: the wheel's operators are for a CUDA build and fail to load
for operator in ("nms", "qnms"):
    library.define(operator + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
import torchvision.models as models  # noqa: E402

try:
    from safetensors.torch import save_file
except ImportError:
    save_file = None


def resnet_features(net):
    return nn.Sequential(net.conv1, net.bn1, net.relu, net.maxpool, net.layer1, net.layer2, net.layer3, net.layer4)


def timm_network(name):
    import timm

    return timm.create_model(name)


#: kind -> (network, function giving its features' layers)
KINDS = {
    "resnet50": (models.resnet50, resnet_features),
    "resnet101": (models.resnet101, resnet_features),
    "squeezenet1_1": (models.squeezenet1_1, lambda net: net.features),
    "vgg16": (models.vgg16, lambda net: net.features),
    "real": (models.squeezenet1_1, lambda net: net.features),
    "timm_resnet50": (lambda: timm_network("resnet50"), lambda net: nn.Sequential(
        net.conv1, net.bn1, net.act1, net.maxpool, net.layer1, net.layer2, net.layer3, net.layer4)),
    "timm_vgg16": (lambda: timm_network("vgg16"), lambda net: net.features),
}  # fmt: skip


def randomise(net):
    """Statistics and gammas as after a training, which those of a new network are not."""
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for values, low, high in ((layer.weight, 0.7, 1.3), (layer.bias, -0.1, 0.1), (layer.running_mean, -0.1, 0.1),
                                      (layer.running_var, 0.7, 1.3)):  # fmt: skip
                nn.init.uniform_(values, low, high)


def main(folder, kinds):
    x = torch.from_numpy(np.load(folder / "x.npy"))
    for kind in kinds:
        torch.manual_seed(0)
        make, layers = KINDS[kind]
        net = make().eval()
        randomise(net)
        if kind == "real":
            with np.load(folder / "real.npz") as arrays:
                net.load_state_dict({name: torch.from_numpy(arrays[name]) for name in arrays.files})
        with torch.no_grad():
            np.save(folder / f"{kind}.features.npy", layers(net)(x).numpy())
        state = net.state_dict()
        torch.save(state, folder / f"{kind}.pth")
        torch.save(state, folder / f"{kind}.old.pth", _use_new_zipfile_serialization=False)
        if save_file is not None:
            save_file(state, folder / f"{kind}.safetensors")
        if kind == "squeezenet1_1":
            torch.save({name: value.bfloat16() for name, value in state.items()}, folder / f"{kind}.bfloat16.pth")
            torch.save({name: value.half() for name, value in state.items()}, folder / f"{kind}.half.pth")
            torch.save(net, folder / f"{kind}.module.pth")
            np.savez(folder / f"{kind}.bfloat16.npz", **{n: v.bfloat16().float().numpy() for n, v in state.items()})
            np.savez(folder / f"{kind}.half.npz", **{n: v.half().float().numpy() for n, v in state.items()})
    (folder / "done").write_text(f"torch {torch.__version__}, {len(kinds)} networks\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:] or list(KINDS))
