"""`cian VERB ...`, and `python -m cian VERB ...`: runs one of the verbs of `cian.commands`."""

import importlib
import sys

import cian

#: the verbs in the order of the pipeline, and what each does
VERBS = {
    "doctor": "tell whether this machine and installation are fit",
    "prepare_data": "prepare a data set: VOC 2012 with SBD, COCO, generated scenes; check one",
    "weights": "ImageNet weights: list, get, check, convert",
    "train_cam": "train the classifier whose class activation becomes the seeds",
    "make_seeds": "class activation, saliency, and the seeds both agree on",
    "train": "train the segmentation network on seeds or other labels",
    "predict": "masks of a list of images, or of pictures",
    "evaluate": "masks or class activation against the ground truth",
    "train_irn": "train IRN's boundary network for the random walk",
    "refine": "masks from class activation by threshold, CRF or random walk",
    "draw": "figures: affinity, matching, improvements",
    "report": "the papers' tables beside the measured numbers",
    "export": "a checkpoint as symbol and parameters, or ONNX",
    "benchmark": "measure parts of the project",
    "launch": "start the processes of a distributed training",
}


def main(argv=None):
    """Run `cian` with these words (those of the command line where None); the verb's exit status."""
    words = sys.argv[1:] if argv is None else list(argv)
    if words[:1] == ["--version"]:
        sys.stdout.write(f"cian {cian.__version__}\n")
        return 0
    if not words or words[0] in ("-h", "--help"):
        sys.stdout.write(overview())
        return 0 if words else 2
    verb = words[0].replace("-", "_")
    if verb not in VERBS:
        sys.stderr.write(f"error: {words[0]!r} is no verb of cian, expected one of {', '.join(VERBS)}\n")
        return 2
    sys.argv = [f"cian {verb}", *words[1:]]
    module = importlib.import_module(f"cian.commands.{verb}")
    from cian.base.cli import run_tool

    return run_tool(module.main)


def overview():
    """What `cian --help` shows."""
    width = max(map(len, VERBS))
    lines = [f"  {verb.ljust(width)}  {text}" for verb, text in VERBS.items()]
    return "usage: cian VERB [options]; cian VERB --help\n\n" + "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
