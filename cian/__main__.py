"""`cian VERB ...`, and `python -m cian VERB ...`: runs one of the verbs of `cian.commands`."""

import importlib
import os
import sys
from pathlib import Path

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
USAGE = "usage: cian VERB [options]\n"


def main(argv=None):
    """Run `cian` with these words (those of the command line where None); the exit status."""
    words = sys.argv[1:] if argv is None else list(argv)
    first = words[0] if words else ""
    if first in ("-h", "--help", "help"):
        sys.stdout.write(overview())
        return 0
    if first == "--version":
        sys.stdout.write(f"cian {cian.__version__}\n")
        return 0
    try:
        if first == "--print-completion":
            from cian.base.completion import print_completion

            return print_completion(words[1:], VERBS)
        verb = first.replace("-", "_")
        if verb not in VERBS:
            return refuse(first)
        module = importlib.import_module(f"cian.commands.{verb}")
        from cian.base.cli import run_tool
    except ImportError as error:
        if os.environ.get("CIAN_LOG") == "debug":
            raise
        sys.stderr.write(f"error: {outside(error, first)}\n")
        return 2
    return run_tool(module.main, words[1:], f"cian {verb}")


def refuse(word):
    """Say that there is no such verb, and which may have been meant."""
    from cian.base.parser import did_you_mean

    what = f"no verb {word!r}" if word else "a verb is missing"
    sys.stderr.write(f"{USAGE}error: {what}, see `cian --help`{did_you_mean(word.replace('-', '_'), VERBS)}\n")
    return 2


def outside(error, verb):
    """What to run where a package is missing, because this is not the environment that experiments/setup.sh makes."""
    root = Path(__file__).resolve().parents[1]
    setup, python = root / "experiments" / "setup.sh", root / ".venv" / "bin" / "python"
    if not isinstance(error, ModuleNotFoundError) or error.name.split(".")[0] == "cian" or not setup.is_file():
        return f"{error}; `cian doctor` tells what is missing"
    command = f"{os.path.relpath(python)} {os.path.relpath(root / 'tools' / (verb.replace('-', '_') + '.py'))}"
    first = "" if (root / ".venv" / "cian-stamp").is_file() else f"bash {os.path.relpath(setup)}, then "
    return f"this Python ({sys.executable}) has no {error.name}, which cian needs: run {first}{command}"


def overview():
    """What `cian --help` shows."""
    width = max(map(len, VERBS))
    lines = [f"  {verb.ljust(width)}  {text}" for verb, text in VERBS.items()]
    return f"""{USAGE}
The verbs, in the order of the pipeline; `cian VERB --help` tells the options of one (`prepare-data` is `prepare_data`):

{os.linesep.join(lines)}

  --version                             show the version
  --print-completion bash|zsh|tcsh      print the completion of a shell, see tools/README.md

Exit status: 0 done, 1 what was checked is not right, 2 an error, 128 + n stopped by signal n.
"""


if __name__ == "__main__":
    sys.exit(main())
