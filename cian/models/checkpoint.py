"""Checkpoints: .params files with the published code's names, `arg:` and `aux:` prefixed, read strictly.

A file written here loads in the published code and the other way round.
"""
import logging

import numpy as np

from cian.base.runtime import mx
from cian.models.params import parse_params, write_params

log = logging.getLogger(__name__)

#: how the names of the layers begin that our segmentation networks and classifiers put on an ImageNet network
ADDED = ("conv_embed_q_", "conv_embed_k_", "conv_embed_v_", "conv_out_", "bn_out_", "fc1_", "classifier_")
#: parameters that an ImageNet network cannot bring: they may be initialised (Normal 0.01, paper "Reproducibility")
NEW_BY_DESIGN = ADDED + ("conv_match_",)
#: the published code raises the learning rate of these (FIDELITY row 1); IRN's of its displacement branch. Not of COMNet's
#: conv_match: the square matrix stands beside the identity, where ten times the rate is too much
FAST = ADDED + ("displace",)


def read_params(path):
    """Read a .params file: {name: float32 NDArray on the CPU}, without the `arg:` and `aux:` prefixes.

    FileNotFoundError or ValueError name the file; ValueError for a file that is damaged or of another format, or without names.
    """
    with open(str(path), "rb") as file:  # FileNotFoundError names the path
        arrays = parse_params(file.read(), path)
    return {name.split(":", 1)[-1]: mx.nd.array(value, dtype="float32") for name, value in arrays.items()}


def named_arrays(net):
    """{`arg:NAME` or `aux:NAME`: NDArray on the CPU} of a network, averaged over its devices."""
    mx.nd.waitall()  # batch normalisation writes its running statistics in the backward pass, unseen by a reader
    arrays = {}
    for name, parameter in net.collect_params().items():
        kind = "aux" if name.endswith(("_moving_mean", "_moving_var")) else "arg"
        copies = [data.asnumpy() for data in parameter.list_data()]
        mean = copies[0] if len(copies) == 1 else sum(copies) / len(copies)
        arrays[f"{kind}:{name}"] = mx.nd.array(mean, dtype=mean.dtype)
    return arrays


def running_statistics(net):
    """Names of the running statistics that training changes: of batch normalisations whose beta is trained."""
    parameters = net.collect_params()
    names = [name for name in parameters if name.endswith(("_moving_mean", "_moving_var"))]
    return [name for name in names if parameters[name.rsplit("_moving_", 1)[0] + "_beta"].grad_req != "null"]


def not_finite(arrays):
    """Names of the arrays {name: NDArray or numpy array} that hold NaN or infinite values."""
    values = ((name, array if isinstance(array, np.ndarray) else array.asnumpy()) for name, array in arrays.items())
    return [name for name, value in values if not np.isfinite(value).all()]


def save_checkpoint(path, arrays):
    """Write {`arg:NAME` or `aux:NAME`: NDArray}, such as named_arrays returns, to `path` (.params), whole or not at all."""
    write_params(path, arrays)


def load_parameters(net, arrays, source, allow_missing=()):
    """Set the parameters of an initialised `net` from {name: array of NumPy or MXNet}; `source` stands in messages.

    allow_missing: name prefixes that may be missing (they keep their initial values, which is logged), or True for any.
    Missing, extra and misshapen parameters are all named in one ValueError.
    """
    parameters = net.collect_params()
    missing = sorted(set(parameters) - set(arrays))
    forgiven = [name for name in missing if allow_missing is True or name.startswith(tuple(allow_missing or ("\0",)))]
    faults = [f"missing {name} {parameters[name].shape}" for name in missing if name not in forgiven]
    faults += [f"unexpected {name} {arrays[name].shape}" for name in sorted(set(arrays) - set(parameters))]
    faults += [f"{name} has shape {tuple(arrays[name].shape)}, expected {parameters[name].shape}" for name in
               sorted(set(arrays) & set(parameters)) if tuple(arrays[name].shape) != tuple(parameters[name].shape)]
    if faults:
        shown = "; ".join(faults[:12]) + (f"; and {len(faults) - 12} more" if len(faults) > 12 else "")
        raise ValueError(f"{source}: does not fit the network: {shown}")
    for name, value in arrays.items():
        value = value if isinstance(value, mx.nd.NDArray) else mx.nd.array(value, dtype="float32")
        if not np.isfinite(float(value.sum().asscalar())):
            raise ValueError(f"{source}: {name} holds NaN or infinite values")
        parameters[name].set_data(value)
    if forgiven:
        log.info("%s: initialised %s", source, ", ".join(forgiven))


def load_checkpoint(net, path):
    """Load a checkpoint of exactly this network; see load_parameters."""
    load_parameters(net, read_params(path), str(path))


def saved_classes(arrays, source):
    """Number of classes of a segmentation checkpoint, from its `fc1_weight`; ValueError names the source."""
    if "fc1_weight" not in arrays or arrays["fc1_weight"].ndim != 4:
        raise ValueError(f"{source}: not a segmentation checkpoint (no fc1_weight of shape (classes, C, 3, 3))")
    return arrays["fc1_weight"].shape[0]
