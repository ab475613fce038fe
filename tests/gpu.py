"""Everything once on this machine's GPUs, in about ten minutes, and a table to send back: `tests/gpu.py [--devices gpu0]`.

Steps of CIAN's training beside the golden files of the published code, steps of all trainings on the device beside the same
steps on the CPU, shares in turns beside devices, the memory of a step beside what the planner says, then every training for one
epoch and every tool on whole images, on generated scenes. `--devices cpu` runs it all without a GPU.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
SCENES = ["--preset", "scenes", "--init", "random", "--epochs", "1", "--workers", "1"]
#: largest deviations from the golden files (golden_steps.py) by precision. In double precision rounding makes 1e-13; in single
#: precision CPUs differ from the files by up to 5e-5 of the logits, 0.3 % of a gradient's norm and 2 % of a change
GOLDEN = {
    "float64": {"logits": 1e-9, "completion": 0, "gradient norm": 1e-7, "parameter change": 1e-7, "statistics change": 1e-7},
    "float32": {"logits": 1e-3, "completion": 0.02, "gradient norm": 0.05, "parameter change": 0.05, "statistics change": 0.02},
}
CLOSE = 2e-3  # of the largest value of a parameter's change: float32 without TF32, other orders of addition


def steps():
    """{name: (objective of devices, batch, settings)} of the four trainings, small."""
    import numpy as np

    from cian.config import BoundaryTraining, Classifier, Matching, Segmentation
    from cian.training.boundary import BoundaryObjective
    from cian.training.objectives import ClassifierObjective, MatchingObjective, SegmentationObjective

    rng = np.random.RandomState(0)

    def images(*shape):
        return rng.randint(0, 255, shape).astype(np.uint8)

    size = dict(optimizer="sgd", lr=0.01)
    groups = (images(4, 2, 3, 65, 65), rng.randint(0, 3, (4, 2, 9, 9)).astype(np.uint8), np.ones((4, 2, 3)))
    tags = rng.randint(0, 2, (4, 2, 3)).astype(np.float32)
    irn = (images(8, 3, 96, 96), rng.randint(0, 3, (8, 24, 24)).astype(np.uint8))
    return {
        "CIAN": (lambda s, d: SegmentationObjective(s, 3, d), groups, Segmentation.preset("scenes", batch=8, **size)),
        "CAM": (lambda s, d: ClassifierObjective(s, 3, d), (groups[0].reshape(8, 3, 65, 65), tags.reshape(8, 3)),
                Classifier.preset("scenes", batch=8, **size)),
        "COMNet": (lambda s, d: MatchingObjective(s, 3, d), (groups[0], tags), Matching.preset("scenes", batch=8, **size)),
        "IRN": (BoundaryObjective, irn, BoundaryTraining.preset("scenes", batch=8, crop=96, **size)),
    }


def changes(name, devices, shares, folder):
    """{parameter: its change by one step} on these devices, from the weights of the settings' seed."""
    from cian.base.runs import Run
    from cian.base.runtime import mx
    from cian.training.engine import Fit

    make, batch, settings = steps()[name]
    objective = make(settings, devices)
    if name == "CIAN":
        gamma = objective.net.collect_params("bn_out_gamma")["bn_out_gamma"]
        gamma.set_data(mx.nd.ones(gamma.shape))
    before = {key: p.list_data()[0].asnumpy() for key, p in objective.net.collect_params().items()}
    Fit(objective, None, Run(folder, "x", write=False), settings, devices, shares=shares).step(0, 0, 1, ["?"] * 8, batch)
    mx.nd.waitall()
    trained = {key: p for key, p in objective.net.collect_params().items() if p.grad_req != "null"}
    return {key: p.list_data()[0].asnumpy() - before[key] for key, p in trained.items()}


def deviation(found, wanted):
    """Largest deviation of a parameter's change, relative to the largest of all changes."""
    import numpy as np

    scale = max(np.abs(value).max() for value in wanted.values())
    worst = max(np.abs(found[key] - wanted[key]).max() for key in wanted) / scale
    if not worst <= CLOSE:
        raise ValueError(f"deviates by {worst:.1e}, expected at most {CLOSE:.0e}")
    return f"deviation {worst:.1e}"


def golden(case, dtype, where):
    """A step beside the golden file of the published code; the largest deviations of GOLDEN, or ValueError with the first."""
    from golden_steps import deviations, worst

    shared = Path(os.environ.get("CIAN_SHARED", ROOT.parent / "shared"))
    if not (shared / "golden").is_dir():
        return f"skipped: no golden files at {shared} (CIAN_SHARED)"
    found, told = worst(deviations(case, shared, dtype, where)), []
    for quantity, bound in GOLDEN[dtype].items():
        value, name = found[quantity]
        told.append(f"{quantity} {value:.1e}")
        if not value <= bound:
            raise ValueError(f"{quantity} of {name} deviates by {value:.1e}, expected at most {bound:.0e}")
    return ", ".join(told)


def memory(device):
    """Memory of a step of CIAN (ResNet-50, a pair of 321) beside the planner's; ValueError where it is too much."""
    from cian.training.memory import ASIDE, TRAININGS, measure

    taken = int(tool_output([sys.executable, str(ROOT / "tests" / "step_memory.py"), device]).split()[-1])
    one = measure(next(of for of in TRAININGS if of.name == "train"), backbone="resnet50")
    planned = one["batch"] - one["group"] * (one["groups"] - 1)
    if taken > planned + 1e9 * ASIDE:
        raise ValueError(f"{taken / 1e6:.0f} MB, by the planner {planned / 1e6:.0f}, and {1e3 * ASIDE:.0f} may be aside")
    return f"{taken / 1e6:.0f} MB, by the planner {planned / 1e6:.0f}"


def tool_output(command):
    """What a program says; ValueError with the end of it where it fails."""
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True, cwd=str(ROOT))
    if result.returncode:
        raise ValueError(f"status {result.returncode}: {result.stdout[-600:]}")
    return result.stdout


def tool(devices, name, *words):
    """Run a verb on the devices; the last line that it says, or ValueError with it."""
    placed = [] if name in ("evaluate", "prepare_data") else ["--devices", devices]
    command = [sys.executable, str(ROOT / "tools" / f"{name}.py"), *map(str, words), *placed]
    return (tool_output(command).strip().splitlines() or [""])[-1].split(": ")[-1]


def tools(devices, folder):
    """[(name, function)] of a run through all tools, each on the files of those before."""
    data, one = folder / "scenes", devices.split(",")[0]

    def last(run):
        return sorted((folder / run).glob("*-[0-9]*.params"))[-1]

    at, ran = ["--data", data], ["--data", data, "--list", "val"]
    calls = [
        ("train_cam", one, ["--crop", 65, "--batch", 8, "--val-list", "val", "--output", folder / "cam"], True),
        ("make_seeds", devices, lambda: [*at, "--checkpoint", last("cam"), "--output", folder / "seeds"], False),
        ("train", devices, ["--crop", 65, "--batch", 8, "--shares", 4, "--labels", folder / "seeds" / "seeds",
                            "--output", folder / "round1"], True),
        ("predict", devices, lambda: [*ran, "--checkpoint", last("round1"), "--output", folder / "val"], False),
        ("evaluate", one, ["--predictions", folder / "val" / "pred", "--ground-truth", data / "SegmentationClassAug", "--list",
                           data / "ImageSets" / "Segmentation" / "val.txt", "--json", folder / "val.json"], False),
        ("train_cam", one, ["--method", "comnet", "--crop", 64, "--batch", 8, "--output", folder / "comnet"], True),
        ("make_seeds", devices, lambda: [*at, "--checkpoint", last("comnet"), "--cams-only",
                                         "--output", folder / "maps"], False),
        ("train_irn", one, ["--crop", 96, "--batch", 8, "--cams", folder / "maps" / "cam", "--output", folder / "irn"], True),
        ("refine", devices, lambda: [*at, "--cams", folder / "maps" / "cam", "--checkpoint", last("irn"),
                                     "--output", folder / "walk"], False),
    ]  # fmt: skip
    yield "scenes", lambda: tool(one, "prepare_data", "scenes", "--output", data, "--train", 24, "--val", 8, "--size", 96)
    for name, where, words, trains in calls:
        def call(name=name, where=where, words=words, trains=trains):
            given = words() if callable(words) else words
            return tool(where, name, *([*at, *SCENES, *given] if trains else given))

        yield f"{name} on {where}", call


def checks(text, folder):
    """[(what, function that returns a note or raises)] of everything that is looked at."""
    from cian.base import trial
    from cian.base.runtime import devices, mx

    chosen = devices(text)
    for device in chosen:
        def tried(device=device):
            wrong = trial.fault(device)
            if wrong:
                raise ValueError(wrong)
            return "convolution with gradient, hybridized block, batch_dot, syevd"

        yield f"operators on {device}", tried
    one = text.split(",")[0]
    pair = "cpu0,cpu1" if one.startswith("cpu") else ",".join(text.split(",")[:2])
    for dtype in GOLDEN:
        yield f"golden step on {one}, {dtype}", lambda dtype=dtype: golden("train64_resnet50_pair", dtype, one)
        if "," in pair:
            case = "train64_resnet50_two_devices"
            yield f"golden step on {pair}, {dtype}", lambda case=case, dtype=dtype: golden(case, dtype, pair)
    yield f"memory of a step on {one}", lambda: memory(one)
    for name in steps():
        yield f"step of {name} on {chosen[0]} beside the CPU", lambda name=name: deviation(
            changes(name, chosen[:1], None, folder), changes(name, [mx.cpu()], None, folder)
        )
        yield f"step of {name}, 4 shares in turns on {chosen[0]}, beside the CPU", lambda name=name: deviation(
            changes(name, chosen[:1], 4, folder), changes(name, [mx.cpu()], 4, folder)
        )
    if len(chosen) in (2, 4):
        yield f"step of CIAN on {text} beside as many shares on {chosen[0]}", lambda: deviation(
            changes("CIAN", chosen, None, folder), changes("CIAN", chosen[:1], len(chosen), folder)
        )
    yield from tools(text, folder)


def say(text):
    """A line of the table, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", default=None, help="cpu, or gpu0,gpu1 (default: all GPUs)")
    args = parser.parse_args(argv)
    os.environ["PYTHONPATH"] = str(ROOT)
    from cian.base import environment

    environment.be_deterministic()
    from cian.base.devices import all_devices
    from cian.base.runs import git_commit
    from cian.base.runtime import devices, hardware, versions

    text = args.devices or ",".join(f"{device.device_type}{device.device_id}" for device in all_devices())
    say(f"commit {git_commit()}\n{versions()}\n{hardware(devices(text))}\n")
    say("| what | result | seconds | note |\n|---|---|---|---|")
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for what, check in checks(text, Path(folder)):
            began = time.time()
            try:
                result, note = "ok", check()
            except Exception as error:  # whatever a driver or a library raises is a line of the table
                result, note, failed = "FAILED", " ".join(str(error).split())[-500:], failed + 1
            say(f"| {what} | {result} | {time.time() - began:.1f} | {note} |")
    say(f"\n{failed} failed" if failed else "\nall is well")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
