"""Start scheduler, servers and workers of a distributed training: `cian launch -n 2 -- cian train ...`.

All run on this machine, or with --hostfile the workers and servers on the hosts it names, over ssh (the same folder and
environment must be there; `python` means the one that runs this tool). Every line of their output gets a prefix such as
`[worker 0] `; the number tells processes apart, and need not be the rank MXNet gives. If one fails, all are stopped and
the exit status is its own. At SIGTERM or Ctrl-C the workers stop first, all at the same step, and the first writes the state
from which the same command goes on (with two workers to the same bits; more add up in no fixed order). If this tool is killed,
its processes end as well.

ps-lite, MXNet's parameter server, neither checks who connects nor encrypts: alone on this machine it listens on the loopback
address only; use --hostfile on a network you trust.
"""
import signal
import socket
import sys
import time
from pathlib import Path

from cian.base.files import read_text
from cian.base.parser import Parser
from cian.base.processes import Child, Guardian, Task, stop

# Importing MXNet serves when DMLC_ROLE says so. Servers outlive a signal that all processes get: the workers stop first.
SERVE = [sys.executable, "-c", "from signal import SIG_IGN, SIGINT, SIGTERM, signal; signal(SIGINT, SIG_IGN); "
         "signal(SIGTERM, SIG_IGN); import cian.base.runtime"]
FAILURE_GRACE = 10  # seconds: workers that wait for one that has failed cannot stop by themselves


def make_parser():
    usage = "%(prog)s -n WORKERS [options] -- COMMAND ..."
    parser = Parser("cian launch", __doc__, "cian launch -n 2 -- cian train --kvstore dist_sync ...", usage)
    parser.add_argument("-n", "--workers", type=int, required=True, help="number of worker processes")
    parser.add_argument("-s", "--servers", type=int, default=1, help="number of servers (default: 1)")
    parser.add_argument("-g", "--gpus-per-worker", type=int, metavar="N", help="GPUs that each worker gets of its machine's "
                        "(default: an equal share; CUDA_VISIBLE_DEVICES names those that count)")
    parser.add_argument("-H", "--hostfile", type=Path, metavar="FILE", help="hosts, one [user@]host a line, # for comments")
    parser.add_argument("--address", help="this machine's IP address, as the hosts reach it (default: found out)")
    parser.add_argument("--port", type=int, help="the scheduler's port (default: a free one)")
    parser.add_argument("--ssh", default="ssh -o BatchMode=yes", help="ssh command with options (default: %(default)s)")
    parser.add_argument("--grace", type=float, default=60, help="seconds from asking the workers to stop, which takes them a "
                        "step of the training, to killing (default: 60; after a failure at most 10)")
    parser.add_argument("command", nargs="+", metavar="COMMAND", help="after `--`: the worker's command with its arguments")
    return parser


def parse_args(argv=None):
    parser = make_parser()
    args = parser.parse_args(argv)
    for option in ("workers", "servers", "gpus_per_worker"):
        if getattr(args, option) is not None and getattr(args, option) < 1:
            parser.error(f"--{option.replace('_', '-')}: expected at least 1, found {getattr(args, option)}")
    return args


def read_hosts(path):
    """The hosts of a hostfile; ValueError when it names none or one that ssh would take for an option."""
    lines = [line.split("#")[0].strip() for line in read_text(path).splitlines()]
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
                              sharing=max(1, places[:args.workers].count(host)), place=places[:number].count(host),
                              gpus=args.gpus_per_worker))
    return tasks


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
    hosts = read_hosts(args.hostfile) if args.hostfile else []
    address = args.address or (own_address(hosts[0]) if hosts else "127.0.0.1")
    tasks = plan(args, hosts, address, args.port or free_port(address))
    signals, children, guardian = [], [], Guardian(args.grace)
    before = {number: signal.signal(number, lambda number, _: signals.append(number))
              for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    status, message = 2, None
    try:
        for task in tasks:
            try:
                children.append(Child(task, args.ssh, args.grace))
                guardian.watch(children[-1])
            except (OSError, ValueError) as error:
                message = f"{task.name} could not be started: {error}; all others were stopped"
                break
        else:
            status, message = watch(children, args.grace, signals)
    finally:
        stop(children, args.grace if signals else min(args.grace, FAILURE_GRACE), hurry=lambda: len(signals) > 1)
        guardian.leave()
        for number, handler in before.items():
            signal.signal(number, handler)
    if message:
        print(f"error: {message}" if status and not signals else message, file=sys.stderr)
    return status
