"""Networks as symbols that run without this code: graphs with the published names, exported and verified.

An export is two files, NAME-symbol.json and NAME-0000.params, loaded by `mx.gluon.SymbolBlock.imports` or
`mx.model.load_checkpoint`. Input `data`: (N, 3, H, W) RGB 0..255, float32.
"""

import json
import re
import tempfile
from pathlib import Path

import numpy as np

from cian.base.files import put_in_place, writable_folder, write_text
from cian.base.runtime import mx
from cian.export.check import verify
from cian.models.checkpoint import named_arrays
from cian.models.multi_scale import MultiScale
from cian.models.params import write_params

ENDINGS = ("-symbol.json", "-0000.params")
KINDS = ("logits", "probabilities", "labels")
KEPT = ("__shape__", "__dtype__", "__cian__")  # attributes of variables; initial values and learning rates are of training
STEMS = {  # operator -> stem of the names of its unnamed nodes
    "Activation": "relu",
    "Pooling": "pool",
    "elemwise_add": "add",
    "_maximum": "maximum",
    "Concat": "concat",
    "Reshape": "reshape",
    "_contrib_BilinearResize2D": "resize",
    "_div_scalar": "divide",
}


class Output(mx.gluon.HybridBlock):
    """What a segmentation network's export returns: (N, 3, H, W) -> logits, probabilities (N, K, h, w) or labels (N, h, w).

    kind: one of KINDS; probabilities are a softmax over the classes, labels their arg max as float32 class indices.
    enlarge: h, w are H, W (bilinear, aligned corners), else those of the features at stride 8.
    size: (H, W) fixes the input's size in the graph, None leaves it free.
    """

    def __init__(self, net, kind="logits", enlarge=False, size=None):
        super().__init__(prefix="")
        if kind not in KINDS:
            raise ValueError(f"kind: {kind!r}, expected one of {', '.join(KINDS)}")
        self.net = net
        self.kind, self._enlarge, self._size = kind, enlarge, size

    def hybrid_forward(self, F, x):
        y = self._logits(F, x)
        if self.kind == "probabilities":
            y = F.softmax(y, axis=1)
        return F.argmax(y, axis=1) if self.kind == "labels" else y

    def chosen_logits(self, x, labels):
        """The network's logits (N, h, w) of given labels (N, h, w), NumPy."""
        return np.take_along_axis(self._logits(mx.nd, x).asnumpy(), labels.astype(np.int64)[:, None], axis=1)[:, 0]

    def _logits(self, F, x):
        y = self.net(x)
        if self._enlarge and self._size is None:
            y = F.contrib.BilinearResize2D(y, x, mode="like")
        elif self._enlarge:
            y = F.contrib.BilinearResize2D(y, height=self._size[0], width=self._size[1])
        return y


class ClassifierOutput(mx.gluon.HybridBlock):
    """What a classifier's export returns: (N, 3, H, W) -> scores (N, C) and maps (N, C, h, w).

    net: a CAM or a COMNet, whose images are in a group with their mirror. kind "probabilities": a sigmoid of the scores.
    """

    def __init__(self, net, kind="logits"):
        super().__init__(prefix="")
        if kind not in KINDS[:2]:
            raise ValueError(f"kind: {kind!r}, expected one of {', '.join(KINDS[:2])}: a classifier has no label map")
        self.net = net
        self._kind = kind

    def hybrid_forward(self, F, x):
        maps = self.net.image_maps(F, x)
        scores = F.mean(maps, axis=(2, 3))
        return [F.sigmoid(scores) if self._kind == "probabilities" else scores, maps]


def inference_block(net, kind="logits", enlarge=False, size=None, scales=(1.0,), flip=False):
    """The block that is exported for a segmentation network: published inference (`scales`, `flip`) inside Output."""
    if tuple(scales) != (1.0,) or flip:
        net = MultiScale(net, size, scales, flip)
    return Output(net, kind, enlarge, size)


def trace(block, outputs, about=None):
    """Graph JSON of a block of one input `data`, with tidy names (see tidy); `outputs` names what it returns.

    about: a dictionary kept as JSON in the attribute `__cian__` of `data`, read back by cian.export.exported.description.
    """
    attributes = {"__cian__": json.dumps(about, sort_keys=True)} if about is not None else None
    result = block(mx.sym.Variable("data", attr=attributes))
    symbol = mx.sym.Group(list(result)) if isinstance(result, (list, tuple)) else result
    return tidy(symbol.tojson(), outputs)


def tidy(text, outputs):
    """Graph JSON whose node names are unique and depend on the network alone, one node a line.

    A layer with parameters is called by their prefix, as published: conv0, bn_out; a second use of it conv0_2; anything else
    by its operator and a count. The last nodes get the names `outputs`. Gluon would name the nodes of a layer that is used
    twice alike, and the others by a count over the whole process.
    """
    graph = json.loads(text)
    nodes, heads = graph["nodes"], [head[0] for head in graph["heads"]]
    if len(heads) != len(outputs):
        raise ValueError(f"outputs: {len(outputs)} names for {len(heads)} outputs")
    restart_versions(nodes)
    taken = {node["name"] for node in nodes if node["op"] == "null"} | set(outputs)
    for index, node in enumerate(nodes):
        if node["op"] == "null":
            node["attrs"] = {key: value for key, value in node.get("attrs", {}).items() if key in KEPT}
            continue
        if index in heads:
            node["name"] = outputs[heads.index(index)]
            continue
        layer = re.match(r"(.*)_(?:fwd|stop_gradient\d+)$", node["name"])
        owned = [nodes[i]["name"] for i, *_ in node["inputs"] if nodes[i]["op"] == "null" and nodes[i]["name"] != "data"]
        if layer and owned:
            stem, count = layer.group(1) + ("_fixed_gamma" if node["op"] == "BlockGrad" else ""), 1
        else:
            stem, count = STEMS.get(node["op"], node["op"].lower().strip("_")), 0
        name = stem if count else f"{stem}0"
        while name in taken:
            count += 1
            name = f"{stem}{'_' if layer and owned else ''}{count}"
        taken.add(name)
        node["name"] = name
    lines = ",\n".join("  " + json.dumps(node, sort_keys=True) for node in nodes)
    rest = {key: value for key, value in graph.items() if key != "nodes"}
    return f'{{"nodes": [\n{lines}\n ],\n' + json.dumps(rest, sort_keys=True)[1:] + "\n"


def restart_versions(nodes):
    """Count the uses of running statistics from 1 in each graph; MXNet counts them over all traces of a variable."""
    used = {}
    for node in nodes:
        for source, _, version in node["inputs"]:
            used.setdefault(source, set()).add(version)
    for node in nodes:
        node["inputs"] = [
            [source, output, sorted(used[source]).index(version) + 1 if version else 0]
            for source, output, version in node["inputs"]
        ]


def export(name, block, outputs, about, images, overwrite=False, extra=None):
    """Write NAME-symbol.json and NAME-0000.params of an initialised block; returns their paths and the largest deviation.

    images: inputs (N, 3, H, W), or (P, G, 3, H, W) of a group network, on which the written files, loaded with nothing but
    MXNet, must equal the block. extra(path) may write further files, given the path without ending of the new export, and
    returns their paths. Only when all is verified do the files appear in their place, all of them or none; a NAME.onnx of
    the export that is replaced goes with it.
    ValueError, FileExistsError: NAME is a folder, or taken and not `overwrite`. RuntimeError: the export differs.
    """
    name = Path(name)
    if name.name in ("", "..") or name.name.endswith((".json", ".params", ".onnx")) or name.is_dir():
        raise ValueError(f"output: {name}, expected a name without ending such as exports/cian_resnet101, not a folder")
    text = trace(block, outputs, about)
    symbol = mx.sym.load_json(text)
    known = set(symbol.list_arguments() + symbol.list_auxiliary_states())
    arrays = {key: value for key, value in named_arrays(block).items() if key.split(":", 1)[1] in known}
    with tempfile.TemporaryDirectory(prefix="." + name.name + "-", dir=str(writable_folder(name.parent))) as folder:
        made = [Path(folder) / (name.name + ending) for ending in ENDINGS]
        write_text(made[0], text)
        write_params(made[1], arrays)
        chosen = block.chosen_logits if isinstance(block, Output) and block.kind == "labels" else None
        deviation = verify(Path(folder) / name.name, block, images, chosen)
        made += extra(Path(folder) / name.name) if extra else []
        targets = [name.parent / path.name for path in made]
        same = [target.is_file() and target.read_bytes() == path.read_bytes() for path, target in zip(made, targets)]
        onnx = name.parent / (name.name + ".onnx")  # of the export that is replaced
        older = [onnx] if onnx.exists() and onnx not in targets and not all(same) else []
        for target, equal in zip(targets + older, same + [False] * len(older)):
            if target.is_dir() or (target.exists() and not overwrite and not equal):
                raise FileExistsError(f"{target}: exists with other contents; choose another --output or give --overwrite")
        name.parent.mkdir(parents=True, exist_ok=True)
        put_in_place(made, targets, older)
    return targets, deviation
