"""The processes of a distributed training, on this machine or over ssh: their environment, their output, and their end."""
import contextlib
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from typing import Dict, List, NamedTuple, Optional

import joblib

from cian.base.cards import cards

FORWARDED = ("DMLC_", "PS_", "MXNET_", "OMP_", "CUDA_", "NCCL_", "CIAN_", "PYTHONPATH", "PYTHONUNBUFFERED")
COLOURS = {"scheduler": 35, "server": 36, "worker": 32}
# Runs on the other machine: the child ends with the shell's standard input, that is, with the connection.
REMOTE_SCRIPT = """cd {folder} || exit 1
export {exports} PATH={bin}:"$PATH"
{threads}exec 3<&0
{command} </dev/null &
child=$!
{{ cat <&3; kill -TERM $child; sleep {grace}; kill -KILL $child; }} >/dev/null 2>&1 &
watcher=$!
wait $child
status=$?
kill $watcher 2>/dev/null
exit $status"""
# The same shares as share_of_gpus, of the GPUs of the other machine.
REMOTE_GPUS = """count=$(nvidia-smi -L 2>/dev/null | grep -c '^GPU'); each={gpus}
[ $each -gt 0 ] || each=$((count / {sharing}))
if [ $((each * {sharing})) -gt $count ]; then
    echo "--gpus-per-worker $each: {sharing} workers on a machine of $count GPUs" >&2; exit 2
elif [ $each -gt 0 ]; then
    export CUDA_VISIBLE_DEVICES=$(seq -s , $(({place} * each)) $((({place} + 1) * each - 1)))
elif [ $count -gt 0 ]; then
    export CUDA_VISIBLE_DEVICES=$(({place} % count))
fi
"""

# Reads `ROLE GROUP` of each process from the tool; when that has died, asks the workers to stop, and kills what is left.
GUARDIAN = """trap '' HUP INT TERM
while read -r role group; do
    groups="$groups $group"
    [ "$role" != worker ] || workers="$workers $group"
done
alive() {{ for worker in $workers; do kill -0 $worker && return 0; done; return 1; }}
kill -TERM $workers
left={tenths}
while [ $left -gt 0 ] && alive; do sleep 0.1; left=$((left - 1)); done
for group in $groups; do kill -KILL -$group; done"""


class Task(NamedTuple):
    """One process to start: role and number, host (None = this machine), command, and its own environment variables."""
    role: str
    number: int
    host: Optional[str]
    command: List[str]
    environment: Dict[str, str]
    sharing: int  # workers on the same machine, which share its processors and its GPUs
    place: int = 0  # number of a worker among these
    gpus: Optional[int] = None  # how many it gets; None: an equal share

    @property
    def name(self):
        return self.role if self.role == "scheduler" else f"{self.role} {self.number}"


def share_of_gpus(visible, task):
    """The GPUs of a worker among those `visible`, or None to leave it all; ValueError where there are not enough.

    Without --gpus-per-worker each gets an equal share; where there are more workers than GPUs, they take them in turn.
    """
    if task.role != "worker" or not visible or (task.sharing == 1 and task.gpus is None):
        return None
    count = task.gpus or len(visible) // task.sharing
    if count * task.sharing > len(visible):
        raise ValueError(f"--gpus-per-worker {count}: {task.sharing} workers on a machine of {len(visible)} GPUs")
    if not count:
        return [visible[task.place % len(visible)]]
    return visible[task.place * count : (task.place + 1) * count]


def local_environment(task):
    """The environment of a process on this machine: processors and GPUs divided among its workers, unless the user said.

    GPUs are those of CUDA_VISIBLE_DEVICES, if the user has set it, else all.
    """
    environment = dict(os.environ, **task.environment)
    environment["PATH"] = os.path.dirname(sys.executable) + os.pathsep + environment.get("PATH", os.defpath)
    environment.setdefault("OMP_NUM_THREADS", str(max(1, joblib.cpu_count() // task.sharing)))
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    visible = [str(card.number) for card in cards()] if named is None else [name for name in named.split(",") if name]
    own = share_of_gpus(visible, task)
    if own is not None:
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(own)
    return environment


def ssh_command(ssh, task, folder, grace=10):
    """The ssh command line that runs `task` in `folder` on its host, with the variables it needs.

    When the connection ends the process is asked to stop, and killed after `grace` seconds.
    """
    variables = {name: value for name, value in os.environ.items() if name.startswith(FORWARDED)}
    variables.update(task.environment)
    threads = ""
    if "OMP_NUM_THREADS" not in variables:
        threads = (f"OMP_NUM_THREADS=$(($(nproc) / {task.sharing})); [ $OMP_NUM_THREADS -gt 0 ] || OMP_NUM_THREADS=1\n"
                   "export OMP_NUM_THREADS\n")
    if "CUDA_VISIBLE_DEVICES" in variables:
        own = share_of_gpus([name for name in variables["CUDA_VISIBLE_DEVICES"].split(",") if name], task)
        variables.update({} if own is None else {"CUDA_VISIBLE_DEVICES": ",".join(own)})
    elif task.role == "worker" and (task.sharing > 1 or task.gpus):
        threads += REMOTE_GPUS.format(sharing=task.sharing, place=task.place, gpus=task.gpus or 0)
    script = REMOTE_SCRIPT.format(
        folder=shlex.quote(str(folder)), bin=shlex.quote(os.path.dirname(sys.executable)), threads=threads,
        grace=max(1, round(grace)),
        exports=" ".join(f"{name}={shlex.quote(value)}" for name, value in sorted(variables.items())),
        command=" ".join(map(shlex.quote, task.command)))
    return shlex.split(ssh) + [task.host, "exec sh -c " + shlex.quote(script)]


class Child:
    """A started task, whose output is passed on line by line with its name in front."""

    def __init__(self, task, ssh, grace):
        self.name, self.role, self.remote = task.name, task.role, task.host is not None
        command = ssh_command(ssh, task, os.getcwd(), grace) if self.remote else task.command
        environment = None if self.remote else local_environment(task)
        self.process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE if self.remote else subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
        self.thread = threading.Thread(target=self._pass_on, daemon=True)
        self.thread.start()

    def _pass_on(self):
        coloured = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        prefix = f"\033[{COLOURS[self.role]}m[{self.name}]\033[0m " if coloured else f"[{self.name}] "
        for line in self.process.stdout:
            text = line.decode("utf-8", "replace").rstrip("\r\n")
            sys.stdout.write(prefix + text.split("\r")[-1] + "\n")  # of a progress bar, what a terminal would show
            sys.stdout.flush()

    def ask_to_stop(self):
        """SIGTERM; over ssh the end of standard input, which the other side turns into SIGTERM."""
        if self.process.poll() is None:
            if self.remote:
                self.process.stdin.close()
            else:
                self.process.terminate()

    def kill(self):
        """SIGKILL for whatever is left of the process and its children; waits for it and for its last lines."""
        with contextlib.suppress(ProcessLookupError, PermissionError):  # nobody left; on macOS the second for a zombie
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.thread.join(timeout=5)


class Guardian:
    """A process that ends a tool's children when the tool itself has been killed and can do it no more."""

    def __init__(self, grace):
        script = GUARDIAN.format(tenths=round(10 * grace))
        self._process = subprocess.Popen(["sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                         stderr=subprocess.DEVNULL, start_new_session=True)

    def watch(self, child):
        """End this child, too; it leads a process group of its own."""
        self._process.stdin.write(f"{child.role} {child.process.pid}\n".encode("ascii"))
        self._process.stdin.flush()

    def leave(self):
        """The tool has ended its children itself."""
        self._process.kill()
        self._process.wait()
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()


def stop(children, grace, hurry):
    """Ask the workers to stop, which need the others for that; `grace` seconds later, or at hurry(), kill what is left."""
    workers = [child for child in children if child.role == "worker"]
    others = [child for child in children if child.role != "worker"]
    for child in workers:
        child.ask_to_stop()
    end = time.monotonic() + grace
    while any(child.process.poll() is None for child in workers) and time.monotonic() < end and not hurry():
        time.sleep(0.05)
    for child in others:
        child.ask_to_stop()
    for child in [*workers, *others]:
        child.kill()
