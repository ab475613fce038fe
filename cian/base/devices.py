"""The devices of a training, to which every batch is dealt out in equal shares."""

import logging

from cian.base.runtime import count_gpus, devices, mx, usable_gpus

log = logging.getLogger(__name__)


def all_devices():
    """Every GPU that MXNet can compute on, else the CPU; says which GPUs are left out."""
    usable = usable_gpus()
    if len(usable) < count_gpus():
        unusable = ", ".join(f"gpu{number}" for number in range(count_gpus()) if number not in usable)
        log.warning("%s left out: mxnet-cu112 has code for compute capability 5.0 to 8.9 only", unusable)
    return [mx.gpu(number) for number in usable] or [mx.cpu(0)]


def training_devices(text, groups, shares=None):
    """(devices, number of shares) of a training whose batch has so many `groups` of images, or images, on this machine.

    text: as of --devices; None takes as many GPUs as the shares can be dealt out to evenly, and says where that is not all.
    shares: into how many equal parts the batch is cut, in turn on the devices; None takes one a device. Batch statistics and
    means of losses are those of a share. ValueError where it does not go.
    """
    if shares is not None and (shares < 1 or groups % shares):
        raise ValueError(f"--shares {shares}: a batch of {groups} groups or images cannot be cut into so many equal shares")
    if text:
        chosen = devices(text)
    else:
        found = all_devices()
        number = max(number for number in range(1, len(found) + 1) if (shares or groups) % number == 0)
        chosen = found[:number]
        if number < len(found):
            log.warning("%d of %d GPUs used: %d groups or images go to no more", number, len(found), shares or groups)
    if (shares or groups) % len(chosen):
        what = f"{shares} shares" if shares else f"{groups} groups or images"
        raise ValueError(f"devices: {what} of a batch cannot be shared by {len(chosen)} devices")
    return chosen, shares or len(chosen)
