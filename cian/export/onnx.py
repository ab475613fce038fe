"""Exports as ONNX, by MXNet's own converter on a graph that it converts rightly, checked in onnxruntime.

What the converter gets wrong and is handled here: it ignores fix_gamma; it writes every resizing with aligned corners; its
softmax below opset 13 is exp(x) / sum exp(x), which overflows; it takes the newest opset, with operators of older ones;
it declares the parameters as inputs and reorders the outputs. A saturated affinity's softmax would be full of denormal numbers
(see cian.base.denormals), with which onnxruntime was 4 to 10 times slower: its exponents are bounded from below.

Needs the packages onnx and onnxruntime (`pip install -e .[onnx]`).
"""

import contextlib
import json
import logging
import os
import warnings
from pathlib import Path

import numpy as np

from cian.base.runtime import mx
from cian.export.exported import symbol_block

log = logging.getLogger(__name__)
OPSET = 13  # from 18 on reductions take their axes as an input, which the converter does not know
LEAST_EXPONENT = -75  # in a softmax: exp(-75) is 3e-33, and still a normal number when it is divided by 10^5
TOLERANCE = 1e-3  # of onnxruntime against MXNet, relative to the largest value
LABELS = 0.999  # of the pixels have the same label


def packages():
    """(onnx, onnxruntime); RuntimeError tells how to install them."""
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise RuntimeError(f"--onnx needs the packages onnx and onnxruntime: pip install -e .[onnx] ({error})") from None
    return onnx, onnxruntime


def export_onnx(name, images):
    """Write NAME.onnx of the export NAME (two files) for inputs of the shape of images (N, 3, H, W); returns its path.

    RuntimeError: onnx refuses it, or onnxruntime differs from MXNet on one of the images. ValueError: see convertible.
    """
    onnx, _ = packages()
    path = Path(str(name) + ".onnx")
    symbol, arguments, auxiliary = mx.model.load_checkpoint(str(name), 0)
    text, fixed, half_pixel = convertible(symbol.tojson())
    parameters = {**arguments, **auxiliary, **{gamma: mx.nd.ones_like(arguments[gamma]) for gamma in fixed}}
    with opset(onnx, OPSET), quiet():
        mx.onnx.export_model(mx.sym.load_json(text), parameters, [images[0].shape], np.float32, str(path))
    model = onnx.load(str(path))
    outputs = [output[: -len("_output")] for output in symbol.list_outputs()]
    tidy(model, outputs, half_pixel, symbol.attr_dict().get("data", {}).get("__cian__"))
    try:
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # the checker's errors have no common class
        raise RuntimeError(f"{path.name}: refused by onnx's checker: {error}; nothing was written") from None
    onnx.save(model, str(path))
    deviation, same = verify(path, symbol_block(f"{name}-symbol.json", f"{name}-0000.params", mx.cpu()), images)
    log.info(
        "%s: onnxruntime differs from MXNet by %.2g of the largest value, %.4f %% of the labels are equal",
        path.name,
        deviation,
        100 * same,
    )
    return path


@contextlib.contextmanager
def quiet():
    """Without the converter's messages on the root logger, which name temporary files, and warnings of onnx.mapping."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        root.setLevel(level)


@contextlib.contextmanager
def opset(onnx, version):
    """Let MXNet's converter see `version` as the newest opset; it asks onnx and has no argument for it."""
    newest, context = onnx.defs.onnx_opset_version, onnx.checker.DEFAULT_CONTEXT
    known = context.opset_imports
    onnx.defs.onnx_opset_version = lambda: version
    context.opset_imports = {"": version}
    try:
        yield
    finally:
        onnx.defs.onnx_opset_version = newest
        context.opset_imports = known


def convertible(text):
    """Graph JSON that MXNet's converter takes rightly; with it the gammas that count as 1, and the half-pixel resizings.

    BlockGrad is left out; before every softmax the largest value is subtracted and the rest bounded from below. ValueError:
    a resizing that depends on the input's size, which needs an export of fixed size.
    """
    graph = json.loads(text)
    nodes, place, fixed, half_pixel = [], {}, set(), set()
    for index, node in enumerate(graph["nodes"]):
        attributes = node.get("attrs", {})
        inputs = [[place[source], output, 0] for source, output, _ in node["inputs"]]
        if node["op"] == "BlockGrad":
            place[index] = inputs[0][0]
            continue
        if node["op"] == "BatchNorm" and attributes.get("fix_gamma", "True") in ("True", "1"):
            fixed.add(nodes[inputs[1][0]]["name"])
        if node["op"] == "_contrib_BilinearResize2D":
            if attributes.get("mode", "size") != "size":
                raise ValueError("onnx: the graph resizes by its input's size; export it with --size H,W")
            if attributes.get("align_corners", "True") in ("False", "0"):
                half_pixel.add(node["name"])
        if node["op"] == "softmax":
            name, largest = node["name"], {"axis": attributes.get("axis", "-1"), "keepdims": "True"}
            nodes.append({"op": "max", "name": name + "_largest", "inputs": inputs[:1], "attrs": largest})
            shifted = [inputs[0], [len(nodes) - 1, 0, 0]]
            nodes.append({"op": "broadcast_sub", "name": name + "_shifted", "inputs": shifted})
            floor = {"op": "_maximum_scalar", "name": name + "_floor", "attrs": {"scalar": str(LEAST_EXPONENT)}}
            nodes.append({**floor, "inputs": [[len(nodes) - 1, 0, 0]]})
            inputs = [[len(nodes) - 1, 0, 0]] + inputs[1:]
        if node["op"] == "null":
            attributes = {key: value for key, value in attributes.items() if key != "__cian__"}
        place[index] = len(nodes)
        nodes.append(dict(node, inputs=inputs, attrs=attributes))
    result = {
        "nodes": nodes,
        "arg_nodes": [index for index, node in enumerate(nodes) if node["op"] == "null"],
        "heads": [[place[source], output, 0] for source, output, _ in graph["heads"]],
        "attrs": graph["attrs"],
    }
    return json.dumps(result), fixed, half_pixel


def tidy(model, outputs, half_pixel, about):
    """In place: outputs in order, parameters no longer inputs, unused ones left out, half-pixel resizings, the description."""
    used = {name for node in model.graph.node for name in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    inputs = [value for value in model.graph.input if value.name == "data"]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    ordered = sorted(model.graph.output, key=lambda value: outputs.index(value.name))
    del model.graph.output[:]
    model.graph.output.extend(ordered)
    for node in model.graph.node:
        if node.op_type == "Resize" and node.name in half_pixel:
            for attribute in node.attribute:
                if attribute.name == "coordinate_transformation_mode":
                    attribute.s = b"half_pixel"
    if about:
        model.metadata_props.add(key="cian", value=about)


def session(path):
    """onnxruntime session of a model on the CPU, with OMP_NUM_THREADS threads."""
    _, onnxruntime = packages()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS", "0"))
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def verify(path, block, images):
    """Largest deviation of an ONNX model from a Gluon block, relative to the largest value; the least share of equal labels.

    Label maps, made by the model or by arg max over the classes of one output (N, K, h, w), must agree in LABELS of the pixels.
    RuntimeError: they do not, or the deviation is above TOLERANCE.
    """
    runner, largest, least = session(path), 0.0, 1.0
    for image in images:
        wanted = block(mx.nd.array(image))
        wanted = [y.asnumpy() for y in (wanted if isinstance(wanted, (list, tuple)) else [wanted])]
        found = runner.run(None, {"data": np.asarray(image, np.float32)})
        for one, other in zip(found, wanted):
            if one.shape != other.shape:
                raise RuntimeError(f"{path.name}: onnxruntime gives {one.shape}, MXNet {other.shape}; nothing was written")
            if one.ndim != 3:  # label maps are (N, h, w)
                largest = float(np.maximum(largest, np.abs(one - other).max() / np.abs(other).max()))  # NaN stays
            labels = (one, other) if one.ndim == 3 else (one.argmax(axis=1), other.argmax(axis=1))
            same = float((labels[0] == labels[1]).mean())
            least = min(least, same) if len(wanted) == 1 else least
            if not largest <= TOLERANCE or (len(wanted) == 1 and same < LABELS):
                raise RuntimeError(
                    f"{path.name}: onnxruntime differs from MXNet by {largest:.2g} of the largest value, {same:.2%} of "
                    "the labels are equal; nothing was written"
                )
    return largest, least
