"""Stages of an experiment: commands that fill one folder each, run once, in the order of what they need, several at a time.

A stage's name is made from everything that decides its content (`cian.base.results.run_name`), so scripts that need the
same stage share its folder and nothing is trained twice. A stage is finished when its folder holds stage.json, which is written
last; its commands go on by themselves where they were interrupted.
"""

import concurrent.futures
import contextlib
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Tuple

from cian.base.files import write_json
from cian.base.locks import locked
from cian.base.parallel import processors

DONE = "stage.json"
LOG = "stage.log"
LOG_LINES_SHOWN = 5


class StageFailed(RuntimeError):
    """A command of a stage ended with an error."""


@dataclass(frozen=True)
class Stage:
    """One step. folder: RUNS/NAME; commands: words each, run one after the other; needs: stages that come before."""

    folder: Path
    commands: Tuple[Tuple[str, ...], ...]
    needs: Tuple["Stage", ...] = ()

    @property
    def name(self):
        """The folder's name, which the content decides."""
        return self.folder.name

    @property
    def finished(self):
        """Has every command of it come to its end?"""
        return (self.folder / DONE).is_file()


def in_order(stages):
    """The stages and all that they need, each once, needs first."""
    found = {}

    def add(stage):
        for need in stage.needs:
            add(need)
        found.setdefault(stage.name, stage)

    for stage in stages:
        add(stage)
    return list(found.values())


def claimed(folder):
    """Hold the folder for this process, in a `with`; RuntimeError if another one works in it."""

    def refuse():
        raise RuntimeError(f"{folder}: another process works on this stage; wait for it, or stop it")

    return locked(folder, refuse)


class Runner:
    """Runs stages, up to `jobs` at a time, each with its share of the processors if more than one.

    With one job the commands' output is shown; with more it goes to FOLDER/stage.log.
    """

    def __init__(self, jobs=1):
        self.jobs = jobs
        self._threads = None if jobs == 1 else max(1, processors() // jobs)
        self._children = set()

    def run(self, stages, begun=lambda stage: None, finished=lambda stage, seconds: None):
        """Run stages (of `in_order`).

        begun(stage) and finished(stage, seconds) are called in this thread, in the order of events; finished also for stages
        that were finished before (0 seconds). The first failure lets those that run come to their end, starts no other, and
        is raised. SIGINT and SIGTERM end the commands by SIGTERM, at which a training writes its state; then KeyboardInterrupt.
        """
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            self._run(stages, begun, finished)
        finally:
            signal.signal(signal.SIGTERM, before)

    def _run(self, stages, begun, finished):
        waiting, running, done, failure = list(stages), {}, set(), None
        with concurrent.futures.ThreadPoolExecutor(self.jobs) as pool:
            try:
                while waiting or running:
                    for stage in list(waiting):
                        if failure is None and len(running) < self.jobs and all(need.name in done for need in stage.needs):
                            waiting.remove(stage)
                            begun(stage)
                            running[pool.submit(self._run_stage, stage)] = stage
                    if not running:
                        break
                    for future in concurrent.futures.wait(running, return_when="FIRST_COMPLETED").done:
                        stage = running.pop(future)
                        if future.exception() is not None:
                            failure = failure or future.exception()
                        else:
                            done.add(stage.name)
                            finished(stage, future.result())
            except BaseException:
                for child in list(self._children):
                    child.terminate()
                raise
        if failure is not None:
            raise failure

    def _run_stage(self, stage):
        """Run the commands unless they are finished; the seconds they took. StageFailed shows the end of their output."""
        with claimed(stage.folder):
            if stage.finished:
                return 0.0
            began = time.time()
            for words in stage.commands:
                status = self._run_command(words, stage.folder / LOG)
                if status:
                    shown = (
                        "" if self._threads is None else f"\n{last_lines(stage.folder / LOG)}\nall of it: {stage.folder / LOG}"
                    )
                    raise StageFailed(f"{stage.name}: status {status} from {' '.join(words)}{shown}")
            seconds = round(time.time() - began, 3)
            write_json(stage.folder / DONE, {"commands": stage.commands, "seconds": seconds})
            return seconds

    def _run_command(self, words, log):
        with contextlib.ExitStack() as stack:
            options = {}
            if self._threads is not None:
                share = str(self._threads)
                options["env"] = dict(os.environ, OMP_NUM_THREADS=share, LOKY_MAX_CPU_COUNT=share)
                options["stdout"] = stack.enter_context(open(str(log), "ab"))
                options["stderr"] = subprocess.STDOUT
            child = subprocess.Popen(words, **options)
            self._children.add(child)
            status = child.wait()
            self._children.discard(child)
            return status


def last_lines(path):
    """The end of a log, for an error message; of a progress bar its last state."""
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    return "\n".join(line.rstrip("\r").split("\r")[-1] for line in lines[-LOG_LINES_SHOWN:]).strip()
