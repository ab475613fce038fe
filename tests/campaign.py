"""A campaign of faults: stages stopped at random, on full disks, started twice, and damaged files. Not part of the tests.

    .venv/bin/python tests/campaign.py --minutes 10 [--stops 120] [--damages 600] [--starts 12] [--seed 0] [--output TABLE.md]

Each part takes its share of the time at most. A fault is printed as it is found, and the table of what was tried, in Markdown,
at the end; the exit status is 1 if there was a fault. Disks are full by a small tmpfs where this user may mount one, else by a
limit on the size of a file. The same seed gives the same damages; where a stop falls depends on the machine.
"""
import argparse
import collections
import platform
import random
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import campaign_damage  # noqa: E402
import campaign_stops as stops  # noqa: E402

from cian.base.runs import git_commit, machine  # noqa: E402

KINDS = ("SIGKILL", "SIGTERM", "full disk")


def parse_args(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10, help="time limit of all parts together (default: 10)")
    parser.add_argument("--stops", type=int, default=120, help="stops and full disks at most (default: 120)")
    parser.add_argument("--starts", type=int, default=12, help="pairs of starts at once at most (default: 12)")
    parser.add_argument("--damages", type=int, default=600, help="damaged files at most (default: 600)")
    parser.add_argument("--stages", default=None, help="only these, comma-separated (default: all)")
    parser.add_argument("--seed", type=int, default=0, help="of everything random (default: 0)")
    parser.add_argument("--output", type=Path, default=None, help="also write the table to this file")
    args = parser.parse_args(argv)
    names = [stage.name for stage in stops.STAGES]
    unknown = [name for name in (args.stages or "").split(",") if name and name not in names]
    if unknown:
        parser.error(f"--stages: {unknown[0]!r}, expected some of {', '.join(names)}")
    return args


def say(text):
    """Write a line to standard output at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


class Faults:
    """What went wrong, printed as it is found."""

    def __init__(self):
        self.found = []

    def add(self, where, what):
        self.found.append((where, " ".join(what.split())[-400:]))
        say(f"FAULT {where}: {what}")


def stop_and_resume(stage, work, whole, random_numbers, faults, counts, mountable):
    """One trial: up to six stops of a kind, then the same command to its end; how many stops."""
    (reference, seconds), kind = whole[stage.name], random_numbers.choice(KINDS)
    with tempfile.TemporaryDirectory(dir=str(work)) as folder:
        output, log, wrong, made = Path(folder) / "disk" / "out", Path(folder) / "log", None, 0
        if kind == "full disk":
            size = int(sum(p.stat().st_size for p in (work / "whole" / stage.name).rglob("*")) * random_numbers.random())
            if mountable:
                with stops.small_disk(Path(folder) / "disk", max(size, 4096)) as enlarge:
                    wrong = stops.fill_disk(stage, work, output, size, log, file_limit=False)
                    enlarge()
                    wrong, made = wrong or go_on(stage, work, output, log, reference), 1
            else:
                wrong = stops.fill_disk(stage, work, output, max(size, 1), log, file_limit=True)
                wrong, made = wrong or go_on(stage, work, output, log, reference), 1
        else:
            for _ in range(random_numbers.randint(1, 6)):
                moment = seconds * random_numbers.random()
                wrong = wrong or stops.stop_once(stage, work, output, kind, moment, log, random_numbers)
                made += 1
            wrong = wrong or go_on(stage, work, output, log, reference)
    counts[stage.name, kind] += made
    say(f"{stage.name}, {kind}: {made}")
    if wrong:
        faults.add(f"{stage.name}, {kind}", wrong)
    return made


def go_on(stage, work, output, log, reference):
    """Run the command to its end; what is wrong with that, or None."""
    status = stops.finish(stops.start(stops.command(stage, work, output, again=True), log))
    if status != 0:
        return f"the same command does not go on, status {status}: {log.read_text(errors='replace')[-600:]}"
    found = stops.contents(output)
    differ = sorted(name for name in set(found) | set(reference) if found.get(name) != reference.get(name))
    left = [path.name for path in output.rglob(".unfinished-*")]
    return f"another end: {', '.join(differ[:5])}" if differ else f"left {left[0]}" if left else None


def start_twice(stage, work, whole, faults):
    """The same command twice at once; each ends well or is refused in one line, and the end is the same."""
    with tempfile.TemporaryDirectory(dir=str(work)) as folder:
        output, logs = Path(folder) / "out", [Path(folder) / name for name in "ab"]
        both = [stops.start(stops.command(stage, work, output, again=True), log) for log in logs]
        statuses = [stops.finish(process) for process in both]
        for status, log in zip(statuses, logs):
            text = log.read_text(errors="replace")
            if status != 0 and not (status == 2 and "another process" in text and "Traceback" not in text):
                faults.add(f"{stage.name}, started twice", f"status {status}: {text[-600:]}")
        if 0 not in statuses:
            faults.add(f"{stage.name}, started twice", f"neither ended well: {statuses}")
        wrong = go_on(stage, work, output, logs[0], whole[stage.name][0])
        if wrong:
            faults.add(f"{stage.name}, started twice", wrong)


def table(args, counts, pairs, damages, faults, seconds):
    """What was tried, as Markdown."""
    lines = [
        f"Commit {git_commit()}, {machine()}, Python {platform.python_version()}; seed {args.seed}, {seconds / 60:.0f} min: "
        f"{sum(counts.values())} stops, {sum(pairs.values())} pairs of starts at once, "
        f"{sum(sum(one.values()) for one in damages.values())} damaged files, {len(faults)} faults.",
        "", "| stage | SIGKILL | SIGTERM | full disk | started twice |", "|---|---:|---:|---:|---:|"]
    for stage in stops.STAGES:
        cells = [counts[stage.name, kind] for kind in KINDS] + [pairs[stage.name]]
        lines.append(f"| {stage.name} | {' | '.join(map(str, cells))} |")
    lines += ["", "| damaged file | tried | right result | refused by name | other values, no checksum | faults |",
              "|---|---:|---:|---:|---:|---:|"]
    for name, found in sorted(damages.items()):
        cells = [sum(found.values())] + [found[kind] for kind in ("right", "refused", "other", "fault")]
        lines.append(f"| {name} | {' | '.join(map(str, cells))} |")
    lines += ["", *(f"- fault: {where}: {what}" for where, what in faults)]
    return "\n".join(lines).rstrip() + "\n"


def main(argv=None):
    args, faults, began = parse_args(argv), Faults(), time.monotonic()
    numbers, counts, pairs = random.Random(args.seed), collections.Counter(), collections.Counter()
    end = began + 60 * args.minutes
    with tempfile.TemporaryDirectory(prefix="campaign-") as folder:
        work, whole = Path(folder), {}
        stops.make_work(work)
        for stage in stops.STAGES:
            whole[stage.name] = stops.run_whole(stage, work)
            say(f"{stage.name}: {whole[stage.name][1]:.1f} s, {len(whole[stage.name][0])} files")
        damages = campaign_damage.run(work, args.damages, args.seed, (end - time.monotonic()) / 4, faults)
        chosen = [one for one in stops.STAGES if not args.stages or one.name in args.stages.split(",")]
        order, mountable = numbers.sample(chosen, len(chosen)), stops.can_mount(work)
        for number in range(args.starts):
            if time.monotonic() < began + 60 * args.minutes / 2:
                start_twice(order[number % len(order)], work, whole, faults)
                pairs[order[number % len(order)].name] += 1
        number = 0
        while sum(counts.values()) < args.stops and time.monotonic() < end:
            stop_and_resume(order[number % len(order)], work, whole, numbers, faults, counts, mountable)
            number += 1
    text = table(args, counts, pairs, damages, faults.found, time.monotonic() - began)
    say(text)
    if args.output is not None:
        args.output.write_text(text, encoding="utf-8")
    return 1 if faults.found else 0


if __name__ == "__main__":
    sys.exit(main())
