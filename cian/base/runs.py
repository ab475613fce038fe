"""The run folder: settings, log, checkpoints and the state to resume from; every file written whole or not at all."""

import dataclasses
import hashlib
import json
import platform
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from cian.base.files import read_json, replacing, write_json, write_text
from cian.base.parallel import processors


def settings_record(settings):
    """The fields of a settings dataclass as plain JSON values."""
    return json.loads(json.dumps(dataclasses.asdict(settings)))


def recorded_settings(checkpoint):
    """Settings (dict) of the run folder of a checkpoint; None without a settings.json beside it, {} where it is no run's."""
    path = Path(checkpoint).parent / "settings.json"
    if not path.is_file():
        return None
    found = read_json(path)
    values = found.get("settings") if isinstance(found, dict) else None
    return values if isinstance(values, dict) else {}


def git_commit():
    """The commit of the code that runs, `-dirty` where it was changed, or None outside a git checkout."""
    here = Path(__file__).resolve().parent
    try:
        commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=str(here), capture_output=True, text=True, check=True)
        changed = subprocess.run(
            ["git", "status", "--porcelain", "-uno"], cwd=str(here), capture_output=True, text=True, check=True
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
        self.state_path = self.folder / "resume.npz"

    def open(self, record, resume):
        """Begin, or go on with, the run that `record` (dict, written to settings.json) describes.

        FileExistsError for a folder that holds a run already, unless resume; ValueError when it was begun with other
        settings or data, naming them. Facts that may differ (command, versions, commit, date) stand under "circumstances".
        """
        if self.settings_path.exists():
            if not resume and self.write:  # other workers may find what the first has just begun
                raise FileExistsError(
                    f"{self.folder}: holds a run already; give --resume to go on with it, or another --output"
                )
            found = read_json(self.settings_path)
            keys = [key for key in sorted(set(found) | set(record)) if key != "circumstances"]
            differ = [
                describe_difference(key, found.get(key), record.get(key))
                for key in keys
                if found.get(key) != record.get(key)
            ]
            if differ:
                raise ValueError(f"{self.settings_path}: the run was begun differently: {'; '.join(differ)}")
        elif self.write:
            write_json(self.settings_path, record)

    def log(self, **values):
        """Append one line to log.jsonl."""
        if self.write:
            with open(self.log_path, "a", encoding="utf-8") as file:
                file.write(json.dumps(values) + "\n")

    def cut_log(self, epoch, step):
        """Drop the log's lines of steps from (epoch, step) on: they will be made again."""
        if not (self.write and self.log_path.exists()):
            return
        kept = []
        for line in self.log_path.read_text(encoding="utf-8").splitlines():
            try:
                values = json.loads(line)
            except ValueError:
                continue  # half a line of a run that was killed
            if (values["epoch"], values["step"]) < (epoch, step):
                kept.append(line + "\n")
        write_text(self.log_path, "".join(kept))

    def checkpoint_path(self, epoch):
        """NAME-EEEE.params, the parameters after epoch number `epoch` (from 0)."""
        return self.folder / f"{self.name}-{epoch:04d}.params"

    def checkpoints(self):
        """The checkpoints there are, oldest first."""
        return sorted(self.folder.glob(f"{self.name}-[0-9][0-9][0-9][0-9].params"))

    def keep_newest(self, count):
        """Remove all but the newest `count` checkpoints."""
        for path in self.checkpoints()[:-count]:
            path.unlink()

    def save_state(self, arrays, **numbers):
        """Write {name: numpy array} and whole numbers as resume.npz."""
        if self.write:
            with replacing(self.state_path) as temporary, open(str(temporary), "wb") as file:
                np.savez(file, **arrays, **{"number:" + key: np.int64(value) for key, value in numbers.items()})

    def load_state(self):
        """({name: numpy array}, {number name: int}) of resume.npz, or None where there is none; ValueError names a bad file."""
        if not self.state_path.exists():
            return None
        try:
            with np.load(str(self.state_path), allow_pickle=False) as stored:
                values = {name: stored[name] for name in stored.files}
        except (OSError, ValueError, KeyError, EOFError) as error:
            raise ValueError(f"{self.state_path}: not a readable state ({error})") from None
        numbers = {name[len("number:") :]: int(values.pop(name)) for name in list(values) if name.startswith("number:")}
        return values, numbers


def describe_difference(key, found, wanted):
    """`key was A, now B`; of two dicts only the entries that differ."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        inner = [k for k in sorted(set(found) | set(wanted)) if found.get(k) != wanted.get(k)]
        return ", ".join(f"{k} was {found.get(k)!r}, now {wanted.get(k)!r}" for k in inner)
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
    """The processor and how many of it may be used: `AMD EPYC 7763 64-Core Processor, 2 processors`."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []  # not Linux
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor() or platform.machine()}, {processors()} processors"


def circumstances(versions):
    """Command line, commit, date, machine and versions, for settings.json."""
    return {
        "command": sys.argv,
        "commit": git_commit(),
        "started": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "machine": machine(),
        "versions": versions,
    }
