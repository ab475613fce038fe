"""The campaign's damaged files: seeded mutations of every kind of file that the project reads, each read in this process.

A child process reads them, with 2 GiB at most, so that a crash or a hang is a fault of one file; see campaign.py.
"""
import collections
import json
import os
import random
import resource
import select
import shutil
import subprocess
import sys
import time
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MEMORY = 2 * 2**30  # bytes, beyond what the imports take
SLOWEST = 60  # seconds that reading one small file may take
STRANGE = ("1e999", "-1", "NaN", "99999999999999999999", "0", "null", "true", '""', "[]", "{}", '"\\u0000"')


def say(values):
    """Write a line of JSON to standard output at once."""
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


def cut(data, numbers, others):
    return data[: numbers.randrange(len(data))] if data else data


def flip(data, numbers, others):
    damaged = bytearray(data)
    for _ in range(numbers.randint(1, 4)):
        damaged[numbers.randrange(len(data))] ^= 1 << numbers.randrange(8)
    return bytes(damaged)


def noise(data, numbers, others):
    start, count = numbers.randrange(len(data)), numbers.randint(1, 64)
    return data[:start] + bytes(numbers.randrange(256) for _ in range(count)) + data[start + count :]


def zeros(data, numbers, others):
    start = numbers.randrange(len(data))
    return data[:start] + bytes(len(data) - start)


def lengthened(data, numbers, others):
    start = numbers.randrange(len(data))
    return data[:start] + data[start:] * 2


def strange_number(data, numbers, others):
    """Another value in place of a run of digits: of text a number, of other bytes 0xff."""
    places = [at for at, byte in enumerate(data) if 48 <= byte <= 57]
    if not places:
        return flip(data, numbers, others)
    start = end = numbers.choice(places)
    while end < len(data) and 48 <= data[end] <= 57:
        end += 1
    text = data.isascii() if hasattr(data, "isascii") else all(byte < 128 for byte in data)
    return data[:start] + (numbers.choice(STRANGE).encode() if text else b"\xff" * (end - start)) + data[end:]


MUTATIONS = {
    "cut": cut, "bits": flip, "noise": noise, "zeros": zeros, "lengthened": lengthened, "number": strange_number,
    "empty": lambda data, numbers, others: b"", "swapped": lambda data, numbers, others: numbers.choice(others),
    "a folder": None, "missing": None, "not permitted": None,
}  # fmt: skip


def damage(path, kind, data, numbers, others):
    """Put a damaged version of a file in its place."""
    path.unlink()
    if kind == "a folder" or (kind == "not permitted" and os.geteuid() == 0):  # to root everything is permitted
        path.mkdir()
    elif kind != "missing":
        path.write_bytes(data if kind == "not permitted" else MUTATIONS[kind](data, numbers, others))
        if kind == "not permitted":
            path.chmod(0)


def restore(path, data):
    if path.is_dir():
        shutil.rmtree(str(path))
    elif path.exists():
        path.unlink()
    path.write_bytes(data)


def outcome(target, good, error_kinds, describe):
    """("right" | "refused" | "other" | "fault", what was wrong)."""
    try:
        found = target.read()
    except error_kinds as error:
        text = describe(error)
        if "\n" in text.strip():
            return "fault", f"several lines: {text}"
        return ("refused", "") if target.path.name in text or target.stem in text else ("fault", f"does not name it: {text}")
    except MemoryError:
        return "fault", "more than 2 GiB"
    except BaseException as error:
        return "fault", f"{type(error).__name__}: {error}"
    if found == good:
        return "right", ""
    return ("fault", "other values, unnoticed") if target.checked else ("other", "")


def read_cases(work, count, seed, first):
    """In the child: read damaged files number `first` to `count`, a line of JSON before and after each."""
    sys.path.insert(0, str(ROOT))
    import campaign_readers

    from cian.base.cli import EXPECTED, describe

    warnings.simplefilter("ignore")
    targets = campaign_readers.targets(Path(work))
    whole = [target.path.read_bytes() for target in targets]
    good = [target.read() for target in targets]
    for target, data in zip(targets, whole):
        restore(target.path, data)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    for number in range(first, count):
        numbers = random.Random(f"{seed} {number}")
        index, kind = number % len(targets), numbers.choice(list(MUTATIONS))
        target = targets[index]
        say({"number": number, "file": target.name, "kind": kind})
        damage(target.path, kind, whole[index], numbers, [data for data in whole if data != whole[index]])
        found, wrong = outcome(target, good[index], EXPECTED, describe)
        left = [path.name for path in target.path.parent.rglob(".unfinished-*")]
        if left:
            found, wrong = "fault", f"left {left[0]}"
        restore(target.path, whole[index])
        say({"number": number, "outcome": found, "wrong": wrong})


def run(work, count, seed, seconds, faults):
    """Read up to `count` damaged files for so many seconds at most: {kind of file: Counter of outcomes}."""
    results, first, end = collections.defaultdict(collections.Counter), 0, time.monotonic() + seconds
    while first < count and time.monotonic() < end:
        words = [sys.executable, __file__, str(work), str(count), str(seed), str(first)]
        with open(str(work / "readers.log"), "wb") as log:
            child = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=log, env=dict(os.environ, OMP_NUM_THREADS="1"))
        begun, why = None, None
        while time.monotonic() < end:
            ready = select.select([child.stdout], [], [], SLOWEST if begun else 300)[0]
            line = child.stdout.readline() if ready else b""
            if not line:
                why = f"status {child.wait(10)}" if ready else f"hangs for {SLOWEST} s"
                break
            found = json.loads(line)
            if "file" in found:
                begun = found
                continue
            results[begun["file"]][found["outcome"]] += 1
            if found["outcome"] == "fault":
                faults.add(f"{begun['file']}, {begun['kind']}, number {begun['number']}", found["wrong"])
            first, begun = found["number"] + 1, None
        child.kill()
        child.wait()
        if begun is None and first < count and time.monotonic() < end:
            raise RuntimeError(f"the readers do not start: {(work / 'readers.log').read_text()[-2000:]}")
        if begun is not None and why is not None:
            results[begun["file"]]["fault"] += 1
            faults.add(f"{begun['file']}, {begun['kind']}, number {begun['number']}", why)
            first = begun["number"] + 1
    return dict(results)


if __name__ == "__main__":
    read_cases(sys.argv[1], *map(int, sys.argv[2:]))
