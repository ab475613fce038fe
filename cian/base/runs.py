"""The run folder: settings, log, checkpoints and the state to resume from; every file written whole or not at all."""

import dataclasses
import hashlib
import json
import logging
import math
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from cian.base.files import append_text, read_arrays, read_record, write_arrays, write_json, write_text
from cian.base.locks import hold, release
from cian.base.parallel import processors

log = logging.getLogger(__name__)

#: what the record of every run says; what later versions added to it is not in older folders, and is not compared there
RECORDED = ("tool", "settings", "init", "list", "data")
#: circumstances that may change the last digits; --resume says so
SAID = ("devices", "kvstore", "workers", "threads", "machine", "versions", "commit")
#: instruction sets by /proc/cpuinfo, widest first
INSTRUCTIONS = {"avx512f": "AVX-512", "avx2": "AVX2", "avx": "AVX", "sse4_1": "SSE4.1"}
HERE = Path(__file__).resolve().parent
#: where a state stands: numbers of resume.npz
POSITION = ("epoch", "step", "updates")


def settings_record(settings):
    """The fields of a settings dataclass as plain JSON values."""
    return json.loads(json.dumps(dataclasses.asdict(settings)))


def git_commit(here=HERE):
    """The commit of the code that runs, `-dirty` where it was changed, or None outside a git checkout.

    The committed results are not code: the table scripts add to them while they run.
    """
    try:
        commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=str(here), capture_output=True, text=True, check=True)
        changed = subprocess.run(
            ["git", "status", "--porcelain", "-uno", "--", ":/", ":(top,exclude)experiments/results"],
            cwd=str(here), capture_output=True, text=True, check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit.stdout.strip() + ("-dirty" if changed.stdout.strip() else "")


class Run:
    """A run folder `folder`: settings.json, log.jsonl, NAME-EEEE.params and resume.npz.

    write False (a worker that is not the first) reads the state but writes nothing.
    """

    def __init__(self, folder, name, write=True):
        self.folder, self.name, self.write = Path(folder), name, write
        self.settings_path, self.log_path = self.folder / "settings.json", self.folder / "log.jsonl"
        self.state_path, self.best_path = self.folder / "resume.npz", self.folder / "best.json"
        self.identity = None  # what decides the run: its record without the circumstances

    def open(self, record, resume):
        """Begin, or go on with, the run that `record` (dict, written to settings.json) describes; hold its folder.

        FileExistsError for a folder that holds a run already, unless resume; ValueError when it was begun with other
        settings or data, naming them; RuntimeError while another process writes there. Facts that may differ (command,
        versions, devices, date) stand under "circumstances"; what of them may change the last digits is logged. A folder
        without a single step counts as not begun.
        """
        self.identity = {key: value for key, value in record.items() if key != "circumstances"}
        if not self.write:
            return  # workers compare their records with the first one's
        hold(self.folder)
        if not self.begun:
            write_json(self.settings_path, record)
            return
        if not resume:
            raise FileExistsError(
                f"{self.folder}: holds a run already; give --resume to go on with it, or another --output"
            )
        if not self.settings_path.exists():
            raise FileNotFoundError(f"{self.settings_path}: missing, though a training was begun there; use another --output")
        found = read_record(self.settings_path)
        then, now = found.pop("circumstances", None), record.get("circumstances", {})
        differ = [
            describe_difference(key, found.get(key), record.get(key))
            for key in sorted(set(found) | set(RECORDED))
            if found.get(key) != record.get(key)
        ]
        if differ:
            raise ValueError(f"{self.settings_path}: the run was begun differently: {'; '.join(differ)}")
        then = {key: then[key] for key in SAID if key in then} if isinstance(then, dict) else {}
        changed = [describe_difference(key, value, now.get(key)) for key, value in then.items() if value != now.get(key)]
        if changed:
            log.info("goes on under other circumstances, so the last digits may differ: %s", "; ".join(changed))

    @property
    def begun(self):
        """Has a single step been made?"""
        return self.state_path.exists() or bool(self.checkpoints()) or bool(_size(self.log_path))

    def close(self):
        """Let go of the folder. A run that has not made a single step leaves no record there, nor an empty folder."""
        if self.write:
            if not self.begun and self.settings_path.exists():
                self.settings_path.unlink()
            release(self.folder, remove=not self.begun)

    def log(self, **values):
        """Append one line to log.jsonl."""
        if self.write:
            append_text(self.log_path, json.dumps(values) + "\n")

    def cut_log(self, epoch, step):
        """Drop the log's lines of steps from (epoch, step) on: they will be made again."""
        if not (self.write and self.log_path.exists()):
            return
        kept = []
        for line in self.log_path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                values = json.loads(line)
                before = (values["epoch"], values.get("step", math.inf)) < (epoch, step)  # without a step: of the whole epoch
            except (ValueError, KeyError, TypeError, AttributeError):
                continue  # half a line of a run that was killed
            if before:
                kept.append(line + "\n")
        write_text(self.log_path, "".join(kept))

    def checkpoint_path(self, epoch):
        """NAME-EEEE.params, the parameters after epoch number `epoch` (from 0)."""
        return self.folder / f"{self.name}-{epoch:04d}.params"

    def checkpoints(self):
        """The checkpoints there are, oldest first."""
        return sorted(self.folder.glob(f"{self.name}-[0-9][0-9][0-9][0-9].params"))

    def keep_newest(self, count):
        """Remove all but the newest `count` checkpoints and the one that best.json names."""
        best = self.best()
        for path in self.checkpoints()[:-count]:
            if best is None or path.name != best["checkpoint"]:
                path.unlink()

    def best(self):
        """What best.json says: epoch, val_miou, list and checkpoint (a file name); None where there is none."""
        return read_record(self.best_path) if self.best_path.exists() else None

    def save_state(self, arrays, **numbers):
        """Write {name: numpy array} and whole numbers as resume.npz."""
        if self.write:
            write_arrays(self.state_path, {**arrays, **{"number:" + key: np.int64(value) for key, value in numbers.items()}})

    def load_state(self):
        """({name: numpy array}, {number name: int}) of resume.npz, or None where there is none; ValueError names a bad file."""
        if not self.state_path.exists():
            return None
        values = read_arrays(self.state_path, "state")
        try:
            numbers = {name[len("number:") :]: int(values.pop(name)) for name in list(values) if name.startswith("number:")}
        except (TypeError, ValueError):
            numbers = {}
        lacking = [name for name in POSITION if numbers.get(name, -1) < 0]
        if lacking:
            raise ValueError(f"{self.state_path}: not the state of a training (lacks {', '.join(lacking)})")
        return values, numbers


def _size(path):
    return path.stat().st_size if path.exists() else 0


def describe_difference(key, found, wanted):
    """`key was A, now B`; of two dicts only the entries that differ."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        inner = [k for k in sorted(set(found) | set(wanted)) if found.get(k) != wanted.get(k)]
        was = {k: f"{found[k]!r}" if k in found else "not known to the code of then" for k in inner}
        return ", ".join(f"{k} was {was[k]}, now {wanted.get(k)!r}" for k in inner)
    return f"{key} was {found!r}, now {wanted!r}"


def folder_digest(folder, ids, suffix):
    """SHA-256 (hex) over the ids and the bytes of `folder`/ID`suffix`: tells whether two runs had the same labels or maps.

    FileNotFoundError counts the ids whose file is missing, and names the first.
    """
    missing = [i for i in ids if not (Path(folder) / f"{i}{suffix}").is_file()]
    if missing:
        raise FileNotFoundError(
            f"{folder}: no file ID{suffix} for {len(missing)} of {len(ids)} ids, such as {missing[0]}{suffix}"
        )
    total = hashlib.sha256()
    for image_id in ids:
        content = (Path(folder) / f"{image_id}{suffix}").read_bytes()
        total.update(f"{image_id} {len(content)}\n".encode("utf-8"))
        total.update(content)
    return total.hexdigest()


def machine():
    """The processor, how many of it may be used, and its widest instructions, which decide how numbers are rounded.

    `AMD EPYC 7763 64-Core Processor, 2 processors, AVX2`; `..., AVX2, held to SSE41` where DNNL_MAX_CPU_ISA says so.
    """
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []  # not Linux
    fields = dict(tuple(part.strip() for part in line.split(":", 1)) for line in reversed(lines) if ":" in line)
    name = fields.get("model name") or platform.processor() or platform.machine()
    flags = fields.get("flags", "").split()
    widest = next((text for flag, text in INSTRUCTIONS.items() if flag in flags), None)
    held = os.environ.get("DNNL_MAX_CPU_ISA")
    return ", ".join(filter(None, (name, f"{processors()} processors", widest, held and f"held to {held}")))


def file_digest(path):
    """SHA-256 (hex) of a file's bytes."""
    total = hashlib.sha256()
    with open(str(path), "rb") as file:
        for block in iter(lambda: file.read(2**20), b""):
            total.update(block)
    return total.hexdigest()


def tags_digest(tags, ids):
    """SHA-256 (hex) over the image tags {id: class indices} of a list."""
    return hashlib.sha256(json.dumps([[i, *map(int, tags[i])] for i in ids]).encode("utf-8")).hexdigest()


def circumstances(versions):
    """Command line, commit, date, machine and versions, for settings.json."""
    return {
        "command": sys.argv,
        "commit": git_commit(),
        "started": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "machine": machine(),
        "versions": versions,
    }
