"""Start scheduler, servers and workers of a distributed training: `launch.py -n 2 -s 1 -- python tools/train.py ...`.

All run on this machine, or with --hostfile the workers and servers on the hosts it names, over ssh (the same folder and
environment must be there; `python` means the one that runs this tool). Every line of their output gets a prefix such as
`[worker 0] `; the number tells processes apart, and need not be the rank MXNet gives. If one fails, all are stopped and
the exit status is its own. ps-lite, MXNet's parameter server, neither checks who connects nor encrypts: alone on this
machine it listens on the loopback address only; use --hostfile on a network you trust.
"""
import argparse
import contextlib
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional

import joblib

SERVE = [sys.executable, "-c", "import cian.base.runtime"]  # importing MXNet serves when DMLC_ROLE says so
FORWARDED = ("DMLC_", "PS_", "MXNET_", "OMP_", "CUDA_", "NCCL_", "CIAN_", "PYTHONPATH", "PYTHONUNBUFFERED")
COLOURS = {"scheduler": 35, "server": 36, "worker": 32}
# Runs on the other machine: the child ends with the shell's standard input, that is, with the connection.
REMOTE_SCRIPT = """cd {folder} || exit 1
export {exports} PATH={bin}:"$PATH"
{threads}exec 3<&0
{command} </dev/null &
child=$!
{{ cat <&3; kill -TERM $child; }} >/dev/null 2>&1 &
watcher=$!
wait $child
status=$?
kill $watcher 2>/dev/null
exit $status"""


class Task(NamedTuple):
    """One process to start: role and number, host (None = this machine), command, and its own environment variables."""
    role: str
    number: int
    host: Optional[str]
    command: List[str]
    environment: Dict[str, str]
    sharing: int  # workers on the same machine, which share its processors

    @property
    def name(self):
        return self.role if self.role == "scheduler" else f"{self.role} {self.number}"


def parse_args(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", "--workers", type=int, required=True, help="number of workers")
    parser.add_argument("-s", "--servers", type=int, default=1, help="number of servers (default: 1)")
    parser.add_argument("-H", "--hostfile", type=Path, help="file of hosts, one [user@]host a line, # for comments")
    parser.add_argument("--address", help="this machine's IP address, as the hosts reach it (default: found out)")
    parser.add_argument("--port", type=int, help="the scheduler's port (default: a free one)")
    parser.add_argument("--ssh", default="ssh -o BatchMode=yes", help="ssh command with options (default: %(default)s)")
    parser.add_argument("--grace", type=float, default=10, help="seconds from asking to stop to killing (default: 10)")
    parser.add_argument("command", nargs="+", help="after `--`: the worker's command with its arguments")
    args = parser.parse_args(argv)
    for option in ("workers", "servers"):
        if getattr(args, option) < 1:
            parser.error(f"--{option}: expected at least 1, found {getattr(args, option)}")
    return args


def read_hosts(path):
    """The hosts of a hostfile; ValueError when it names none or one that ssh would take for an option."""
    lines = [line.split("#")[0].strip() for line in Path(path).read_text(encoding="utf-8").splitlines()]
    hosts = [line for line in lines if line]
    for host in hosts:
        if host.startswith("-") or len(host.split()) != 1:
            raise ValueError(f"{path}: expected one [user@]host a line, found {host!r}")
    if not hosts:
        raise ValueError(f"{path}: expected one [user@]host a line, found none")
    return hosts


def resolve(host):
    """IPv4 address of [user@]host, None when only ssh knows the name."""
    try:
        return socket.gethostbyname(host.split("@")[-1])
    except OSError:
        return None


def own_address(host):
    """This machine's address on the way to `host`; ValueError when the host's name has no address here."""
    target = resolve(host)
    if target is None:
        raise ValueError(f"host {host!r} has no address here; say this machine's with --address")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((target, 9))  # sends nothing: it only picks the way
        return probe.getsockname()[0]


def free_port(address):
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind((address, 0))
        return probe.getsockname()[1]


def plan(args, hosts, address, port):
    """The tasks to start: the scheduler here, servers and workers in turn over `hosts` (empty: all here)."""
    common = {"DMLC_PS_ROOT_URI": address, "DMLC_PS_ROOT_PORT": str(port), "DMLC_NUM_WORKER": str(args.workers),
              "DMLC_NUM_SERVER": str(args.servers), "PYTHONUNBUFFERED": "1"}
    places = [hosts[i % len(hosts)] if hosts else None for i in range(max(args.workers, args.servers))]
    tasks = []
    for role, count in (("scheduler", 1), ("server", args.servers), ("worker", args.workers)):
        for number in range(count):
            host = None if role == "scheduler" else places[number]
            environment = dict(common, DMLC_ROLE=role)
            node = address if host is None else resolve(host)
            if node and (not node.startswith("127.") or address.startswith("127.")):
                environment["DMLC_NODE_HOST"] = node  # else ps-lite takes its first network interface
            tasks.append(Task(role, number, host, args.command if role == "worker" else SERVE, environment,
                              sharing=max(1, places[:args.workers].count(host))))
    return tasks


def local_environment(task):
    """The environment of a process on this machine: processors divided among its workers, unless the user said."""
    environment = dict(os.environ, **task.environment)
    environment["PATH"] = os.path.dirname(sys.executable) + os.pathsep + environment.get("PATH", os.defpath)
    environment.setdefault("OMP_NUM_THREADS", str(max(1, joblib.cpu_count() // task.sharing)))
    return environment


def ssh_command(ssh, task, folder):
    """The ssh command line that runs `task` in `folder` on its host, with the variables it needs."""
    variables = {name: value for name, value in os.environ.items() if name.startswith(FORWARDED)}
    variables.update(task.environment)
    threads = ""
    if "OMP_NUM_THREADS" not in variables:
        threads = (f"OMP_NUM_THREADS=$(($(nproc) / {task.sharing})); [ $OMP_NUM_THREADS -gt 0 ] || OMP_NUM_THREADS=1\n"
                   "export OMP_NUM_THREADS\n")
    script = REMOTE_SCRIPT.format(
        folder=shlex.quote(str(folder)), bin=shlex.quote(os.path.dirname(sys.executable)), threads=threads,
        exports=" ".join(f"{name}={shlex.quote(value)}" for name, value in sorted(variables.items())),
        command=" ".join(map(shlex.quote, task.command)))
    return shlex.split(ssh) + [task.host, "exec sh -c " + shlex.quote(script)]


class Child:
    """A started task, whose output is passed on line by line with its name in front."""

    def __init__(self, task, ssh):
        self.name, self.role, self.remote = task.name, task.role, task.host is not None
        command = ssh_command(ssh, task, os.getcwd()) if self.remote else task.command
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


def stop(children, grace, hurry):
    """Ask all to stop, wait up to `grace` seconds or until hurry() is true, then kill what is left."""
    for child in children:
        child.ask_to_stop()
    end = time.monotonic() + grace
    while any(child.process.poll() is None for child in children) and time.monotonic() < end and not hurry():
        time.sleep(0.05)
    for child in children:
        child.kill()


def watch(children, grace, signals):
    """Wait until the workers are done, one process fails or a signal comes. Returns (exit status, message or None)."""
    end = None
    while not signals:
        codes = [child.process.poll() for child in children]
        for child, code in zip(children, codes):
            if code:
                how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
                return (128 - code if code < 0 else code), f"{child.name} {how}; all others were stopped"
        if all(code == 0 for child, code in zip(children, codes) if child.role == "worker"):
            end = end or time.monotonic() + grace
            if None not in codes:
                return 0, None
            if time.monotonic() > end:  # the workers never opened a dist kvstore: the others wait for them in vain
                return 0, "the workers are done without a dist kvstore; scheduler and servers were stopped"
        time.sleep(0.05)
    return 128 + signals[0], f"stopped by {signal.Signals(signals[0]).name}"


def main(argv=None):
    args = parse_args(argv)
    try:
        hosts = read_hosts(args.hostfile) if args.hostfile else []
        address = args.address or (own_address(hosts[0]) if hosts else "127.0.0.1")
        tasks = plan(args, hosts, address, args.port or free_port(address))
    except (OSError, ValueError) as error:
        sys.exit(f"launch: {error}")
    signals, children = [], []
    before = {number: signal.signal(number, lambda number, _: signals.append(number))
              for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    status, message = 1, None
    try:
        for task in tasks:
            try:
                children.append(Child(task, args.ssh))
            except OSError as error:
                message = f"{task.name} could not be started: {error}; all others were stopped"
                break
        else:
            status, message = watch(children, args.grace, signals)
    finally:
        stop(children, args.grace, hurry=lambda: len(signals) > 1)
        for number, handler in before.items():
            signal.signal(number, handler)
    if message:
        print(f"launch: {message}", file=sys.stderr)
    return status
