"""Parameters and multiply-adds of networks, counted from their traced graphs (CIAN paper, Table 1).

What counts is what comes within 0.3 % of Table 1: as parameters the weights of convolutions, as operations the multiply-adds of
convolutions and batch_dots, both without the classifier `fc1`. Biases, normalisation, poolings and softmax do not count. The
third network ("Ours") is the way to the cross prediction alone, per image: features, embeddings, the image's own message and
the reference's, then one `conv_out`. A training step makes the self prediction too, with a second `conv_out` and `fc1`.
"""

import json
import math
from dataclasses import dataclass
from typing import Optional

from cian.base.runtime import mx
from cian.models.cian import CIAN, GroupCIAN

TABLE1_SIZE = (321, 321)
CLASSIFIER = "fc1"


@dataclass(frozen=True)
class Layer:
    """One operation of a graph. weight: name of its weight, or None; weights: numbers in it; multiply_adds: of the batch."""

    weight: Optional[str]
    weights: int
    multiply_adds: int


@dataclass(frozen=True)
class Complexity:
    """weights: numbers in the weights, each counted once however often it is used; multiply_adds: per image."""

    weights: int
    multiply_adds: float


def _weighted(node, inputs, output):
    """A convolution or dense layer: each output value is a sum over one filter."""
    return math.prod(output) * math.prod(inputs[1][1:])


def _batch_dot(node, inputs, output):
    """(B, M, K) x (B, K, N): each output value is a sum over K."""
    transposed = node.get("attrs", {}).get("transpose_a", "False") in ("True", "1")
    return math.prod(output) * inputs[0][-2 if transposed else -1]


#: operator -> function(node, shapes of the inputs, shape of the output) giving multiply-adds
COUNTED = {"Convolution": _weighted, "FullyConnected": _weighted, "batch_dot": _batch_dot}
#: operators that multiply and add as well, but that no network here has
REFUSED = ("Deconvolution", "dot", "khatri_rao", "RNN", "_linalg_gemm", "_linalg_gemm2", "_linalg_trmm", "_npi_dot")


def layers(symbol, shape):
    """The Layers of a graph whose input "data" has this shape, batch included.

    ValueError for an operator whose multiply-adds cannot be counted, or a shape that does not determine all others.
    """
    internals = symbol.get_internals()
    graph = json.loads(internals.tojson())
    _, outputs, _ = internals.infer_shape(data=shape)
    if outputs is None:
        raise ValueError(f"shape: {shape} for data leaves other shapes of the graph unknown")
    shapes = {tuple(head[:2]): output for head, output in zip(graph["heads"], outputs)}  # names may repeat, numbers not
    found = []
    for number, node in enumerate(graph["nodes"]):
        if node["op"] in REFUSED:
            raise ValueError(f"{node['name']}: cannot count operator {node['op']}, only {', '.join(COUNTED)}")
        if node["op"] not in COUNTED:
            continue
        inputs = [shapes[tuple(entry[:2])] for entry in node["inputs"]]
        weighted = COUNTED[node["op"]] is _weighted
        found.append(
            Layer(
                graph["nodes"][node["inputs"][1][0]]["name"] if weighted else None,
                math.prod(inputs[1]) if weighted else 0,
                COUNTED[node["op"]](node, inputs, shapes[number, 0]),
            )
        )
    return found


def complexity(symbol, shape, images=1, without=()):
    """Complexity of a graph. images: how many the input holds; without: layers left out, "fc1" for those of `fc1_weight`.

    ValueError as in layers(), and for a layer to be left out that is not there.
    """
    found = layers(symbol, shape)
    named = {layer.weight for layer in found}
    left_out = {name + "_weight" for name in without}
    if left_out - named:
        raise ValueError(f"without: {', '.join(sorted(left_out - named))} not among the weights of the graph")
    kept = [layer for layer in found if layer.weight not in left_out]
    weights = {layer.weight: layer.weights for layer in kept}
    return Complexity(sum(weights.values()), sum(layer.multiply_adds for layer in kept) / images)


def table1(backbone="resnet101", size=TABLE1_SIZE):
    """{row of Table 1: Complexity} with a backbone of cian.models.cian.BACKBONES, for images of size (height, width)."""
    if min(size) < 1:
        raise ValueError(f"size: {size}, expected at least one pixel each way")
    data = mx.sym.var("data")
    one, pair = (1, 3) + tuple(size), (1, 2, 3) + tuple(size)
    _, cross = GroupCIAN(CIAN(backbone))(data)
    return {
        "Vanilla Deeplab": complexity(CIAN(backbone, affinity=False)(data), one, 1, (CLASSIFIER,)),
        "Baseline": complexity(CIAN(backbone)(data), one, 1, (CLASSIFIER,)),
        "Ours": complexity(cross, pair, 2, (CLASSIFIER,)),
    }
