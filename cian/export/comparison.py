"""A network in Gluon, its exported symbol in MXNet alone, and in ONNX: time per image and differences on the same images."""

import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from cian.base.runtime import mx
from cian.data.pictures import read_picture
from cian.export.check import as_arrays
from cian.export.export import export
from cian.export.exported import symbol_block
from cian.export.onnx import export_onnx, session
from cian.export.symbols import build, exported_block

GLUON = "Gluon"  # what the others are compared with


def random_network(method, backbone, classes):
    """A network with random weights (seed 0) whose classifier's filters are centred, so that several classes win pixels."""
    net = build(method, backbone, classes)
    mx.random.seed(0)
    net.initialize(mx.init.Xavier())
    weight = (net.classifier if method == "cam" else net.fc1).weight
    weight.set_data(weight.data() - weight.data().mean(axis=1, keepdims=True))
    return net


def fitted_image(path, size):
    """A picture as float32 (1, 3, H, W) of size (H, W): reduced if larger, then padded with black as published."""
    picture, _ = read_picture(path, size)
    image = np.zeros((1, 3) + tuple(size), np.float32)
    image[0, :, : picture.shape[0], : picture.shape[1]] = picture.transpose(2, 0, 1)
    return image


def compare_export(net, method, images, progress=None):
    """Export a network for the size of `images`, float32 (1, 3, H, W) each, and compare the three ways; see compare.

    Segmentation logits are enlarged to the image, so that the resizing is compared and timed as well.
    """
    block, outputs = exported_block(net, method, enlarge=method != "cam", size=images[0].shape[2:])
    block.hybridize()
    with tempfile.TemporaryDirectory() as folder:
        name, sample = Path(folder) / "network", images[:1]
        export(name, block, outputs, None, sample, extra=lambda path: [export_onnx(path, sample)])
        single = symbol_block(f"{name}-symbol.json", f"{name}-0000.params", mx.cpu())
        runner = session(f"{name}.onnx")
        ways = {
            GLUON: lambda x: as_arrays(block(mx.nd.array(x))),
            "exported symbol": lambda x: as_arrays(single(mx.nd.array(x))),
            "ONNX Runtime": lambda x: runner.run(None, {"data": x}),
        }
        result = compare(ways, images, progress=progress)
    size = "x".join(map(str, images[0].shape[2:]))
    return {"images": len(images), "size": size, "threads": os.environ["OMP_NUM_THREADS"], "ways": result}


def compare(ways, images, clock=time.perf_counter, progress=None):
    """Run functions from an image to a list of arrays in turn on the same images; the first is what others are compared with.

    Each runs once before the clock counts, and another one begins at each image. Per name: `seconds` is the median time of
    an image, `ratio` that of the first's, `deviation` the largest difference from the first relative to its largest value,
    `equal` the share of equal labels, the arg max over the classes of the last array (N, K, h, w), and `equal_worst` that of
    the worst image.
    """
    names = list(ways)
    seconds, deviation, equal = ({name: [] for name in names} for _ in range(3))
    for function in ways.values():
        function(images[0])
    for number, image in enumerate(images):
        found = {}
        for name in names[number % len(names) :] + names[: number % len(names)]:
            began = clock()
            found[name] = ways[name](image)
            seconds[name].append(clock() - began)
        wanted = found[names[0]]
        for name in names:
            pairs = list(zip(found[name], wanted))
            deviation[name].append(max(float(np.abs(one - other).max() / np.abs(other).max()) for one, other in pairs))
            labels = [array.argmax(axis=1) for array in pairs[-1]]
            equal[name].append(float((labels[0] == labels[1]).mean()))
        if progress is not None:
            progress(1)
    medians = {name: statistics.median(seconds[name]) for name in names}
    return {
        name: {
            "seconds": medians[name],
            "ratio": medians[name] / medians[names[0]],
            "deviation": float(np.max(deviation[name])),  # NaN stays
            "equal": float(np.mean(equal[name])),
            "equal_worst": min(equal[name]),
        }
        for name in names
    }


def comparison_table(result):
    """Markdown of compare_export's result."""
    lines = [
        f"{result['images']} images of {result['size']}, OMP_NUM_THREADS {result['threads']}, {result['network']}",
        "| way | median s an image | of Gluon's | largest deviation | equal labels | worst image |",
        "|---|" + "---:|" * 5,
    ]
    for name, found in result["ways"].items():
        lines.append(
            f"| {name} | {found['seconds']:.3f} | {found['ratio']:.2f} | {found['deviation']:.1e} | "
            f"{100 * found['equal']:.4f} % | {100 * found['equal_worst']:.4f} % |"
        )
    return "\n".join(lines)
