"""The campaign's stages: stopped at random, on full disks, started twice; each goes on to the bits of a run left alone."""
import contextlib
import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple, Tuple

import coco_files
import numpy as np
from launching import children_of

ROOT = Path(__file__).resolve().parents[1]
SHORT = ("--preset", "scenes", "--data", "{work}/data", "--init", "random", "--crop", "65", "--batch", "4", "--workers", "1")
SCALES = ("--scales", "1", "--flip", "no", "--test-size", "65")
TIMES = ("circumstances", "seconds", "command", "started")  # of records: what differs between two runs of the same
IGNORED = (".unfinished-*", ".held", ".lock", "*.log", "*tfevents*")  # logs tell of the time
LIMIT = 300  # seconds that any command may take


class Stage(NamedTuple):
    """A tool with its arguments; {output} is the stage's folder or file, {work} that of the campaign. again: to go on."""

    name: str
    tool: str
    words: Tuple[str, ...]
    again: Tuple[str, ...] = ()
    workers: int = 1


SEEDS = ("--preset", "scenes", "--data", "{work}/data", "--cam-scales", "0.5", "--workers", "1")
STAGES = (
    Stage("scenes", "prepare_data", ("scenes", "--output", "{output}", "--train", "24", "--val", "4", "--size", "96")),
    Stage("coco", "prepare_data", ("coco", "--images", "{work}/coco", "--annotations", "{work}/coco/annotations", "--output",
                                   "{output}",
                                   "--expect-classes", "0", "--expect-train", "0", "--expect-val", "0", "--workers", "1")),
    Stage("train_cam", "train_cam", (*SHORT, "--epochs", "4", "--output", "{output}"), ("--resume",)),
    Stage("make_seeds", "make_seeds", (*SEEDS, "--checkpoint", "{work}/whole/train_cam/cam_resnet10-0003.params",
                                       "--output", "{output}")),
    Stage("train", "train", (*SHORT, "--epochs", "4", "--seeds", "{work}/whole/make_seeds/seeds", "--output", "{output}"),
          ("--resume",)),
    Stage("two workers", "train", (*SHORT, "--epochs", "3", "--seeds", "{work}/whole/make_seeds/seeds", "--kvstore",
                                   "dist_sync", "--output", "{output}"), ("--resume",), workers=2),
    Stage("predict", "predict", ("--preset", "scenes", "--data", "{work}/data", "--list", "train_aug", *SCALES, "--checkpoint",
                                 "{work}/whole/train/cian_resnet10-0003.params", "--output", "{output}")),
    Stage("train_irn", "train_irn", ("--preset", "scenes", "--data", "{work}/data", "--cams", "{work}/whole/make_seeds/cam",
                                     "--init", "random", "--label-crf-iterations", "0", "--crop", "80", "--batch", "4",
                                     "--epochs", "2", "--workers", "1", "--output", "{output}"), ("--resume",)),
    Stage("refine", "refine", ("--preset", "scenes", "--data", "{work}/data", "--cams", "{work}/whole/make_seeds/cam",
                               "--refine", "crf", "--workers", "1", "--output", "{output}")),
    Stage("evaluate", "evaluate", ("--predictions", "{work}/whole/predict/pred", "--ground-truth",
                                   "{work}/data/SegmentationClassAug", "--list",
                                   "{work}/data/ImageSets/Segmentation/train_aug.txt", "--workers", "1", "--json",
                                   "{output}/a.json")),
    Stage("report", "report", ("--results", str(ROOT / "experiments" / "results" / "animals"), "--output", "{output}")),
    Stage("export", "export", ("--preset", "scenes", "--checkpoint", "{work}/whole/train/cian_resnet10-0003.params", "--output",
                               "{output}/net", "--overwrite")),
)


def command(stage, work, output, again=False):
    """The words of a stage's command line."""
    words = [word.format(work=work, output=output) for word in stage.words + (stage.again if again else ())]
    launch = [str(ROOT / "tools" / "launch.py"), "-n", str(stage.workers), "--", sys.executable] if stage.workers > 1 else []
    return [sys.executable, *launch, str(ROOT / "tools" / f"{stage.tool}.py"), *words]


def start(words, log, file_limit=None):
    """Start a command in a session of its own, with one thread; file_limit: bytes that no file may exceed."""
    environment = dict(os.environ, PYTHONPATH=str(ROOT), OMP_NUM_THREADS="1", LOKY_MAX_CPU_COUNT="1")
    limit = None if file_limit is None else lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit))
    with open(str(log), "wb") as file:
        return subprocess.Popen(words, stdout=file, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=environment,
                                start_new_session=True, preexec_fn=limit)


def finish(process, seconds=LIMIT):
    """Its exit status; "hangs" after so many seconds, when all of its session is killed."""
    try:
        return process.wait(max(seconds, 0.01))
    except subprocess.TimeoutExpired:
        end_session(process)
        return "hangs"


def end_session(process):
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def contents(folder):
    """{relative path: digest} of the files that a stage made; of records what does not tell of the time."""
    found = {}
    for path in sorted(Path(folder).rglob("*")):
        if path.is_file() and not any(path.match(pattern) for pattern in IGNORED):
            found[str(path.relative_to(folder))] = hashlib.sha256(timeless(path)).hexdigest()
    return found


def timeless(path):
    """The bytes of a file, of JSON without times, and of no state of a training, which may have been written at other steps."""
    if path.name == "resume.npz":
        with np.load(str(path)) as state:
            return b"".join(name.encode() + state[name].tobytes() for name in sorted(state.files))
    if path.suffix not in (".json", ".jsonl"):
        return path.read_bytes()
    lines = path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]
    values = [json.loads(line) for line in lines]
    return json.dumps([{k: v for k, v in one.items() if k not in TIMES} if isinstance(one, dict) else one
                       for one in values]).encode()


def make_work(work):
    """The inputs of the stages: scenes to train on, and a small COCO."""
    words = [sys.executable, str(ROOT / "tools" / "prepare_data.py"), "scenes", "--output", str(work / "data"), "--train", "16",
             "--val", "4", "--size", "80"]  # fmt: skip
    subprocess.run(words, check=True, capture_output=True, env=dict(os.environ, PYTHONPATH=str(ROOT)))
    coco_files.write_coco(work / "coco", train=12, val=4)


def run_whole(stage, work):
    """Run a stage to its end, left alone: its contents and its seconds; RuntimeError shows its last lines."""
    output = work / "whole" / stage.name
    output.mkdir(parents=True, exist_ok=True)
    began, log = time.monotonic(), work / "whole" / f"{stage.name}.log"
    status = finish(start(command(stage, work, output), log))
    if status != 0:
        raise RuntimeError(f"{stage.name}: status {status}\n{log.read_text()[-2000:]}")
    return contents(output), time.monotonic() - began


def explained(text):
    """Does the output of a command end in one line that says why it ended?"""
    lines = [line for line in text.replace("\r", "\n").splitlines() if line.strip()]
    marks = ("error: ", "prepare_data: ", "evaluate: ", "interrupted", "stopped by", "report: ", "launch: ")
    return "Traceback" not in text and bool(lines) and any(mark in lines[-1] for mark in marks)


def stop_once(stage, work, output, kind, moment, log, numbers):
    """Start a stage and stop it; what was wrong with how it ended, or None. kind: SIGKILL, SIGTERM; moment: seconds."""
    process = start(command(stage, work, output, again=True), log)
    status = finish_early(process, moment)
    if status is not None:
        return None if status == 0 else f"status {status}: {log.read_text()[-300:]}"
    victims = [process.pid] + (children_of(process.pid) if kind == "SIGKILL" and stage.workers > 1 else [])
    with contextlib.suppress(ProcessLookupError):
        os.kill(numbers.choice(victims), signal.Signals[kind])  # of a distributed training any of its processes
    status = finish(process, 90)
    if not ends(process.pid):
        return f"processes left after {kind}"
    if kind == "SIGTERM" and status not in (0, 143, -signal.SIGTERM):
        return f"status {status} after SIGTERM: {log.read_text()[-300:]}"
    text = log.read_text(errors="replace")
    if kind == "SIGTERM" and "Traceback" in text:
        return f"traceback after SIGTERM: {text[-600:]}"
    return None


def ends(group, seconds=20):
    """Do all processes of a group, whose first has ended, end by themselves?"""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
    return False


def finish_early(process, seconds):
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None


@contextlib.contextmanager
def small_disk(folder, size):
    """A disk of `size` bytes at `folder`: yields a function that makes it large. Needs root."""
    folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True, capture_output=True)
    try:
        yield lambda: subprocess.run(["mount", "-o", "remount,size=1g", str(folder)], check=True, capture_output=True)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False, capture_output=True)


def can_mount(work):
    try:
        with small_disk(work / "probe", 4096):
            return True
    except (subprocess.CalledProcessError, OSError):
        return False
    finally:
        with contextlib.suppress(OSError):
            (work / "probe").rmdir()


def fill_disk(stage, work, output, size, log, file_limit):
    """Run a stage where there is no room for it; what was wrong with how it ended, or None."""
    status = finish(start(command(stage, work, output, again=True), log, size if file_limit else None))
    text = log.read_text(errors="replace")
    if status == 0:
        return None
    room = ("File too large",) if file_limit else ("No space left on device", "not enough space")
    if "Traceback" in text or not explained(text) or not any(cause in text for cause in room):
        return f"full disk, status {status}: {text[-600:]}"
    left = [path.name for path in output.rglob(".unfinished-*")] if output.exists() else []
    return f"left {left[0]}" if left else None
