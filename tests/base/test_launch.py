"""tools/launch.py on the loopback interface: a real exchange, failures, signals, the plan of hosts."""
import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from launching import EXCHANGE, PULLED, children_of, finish, start
from scripts import module_of

from cian.base import processes
from cian.base.cards import Card


@pytest.fixture()
def launch():
    return module_of("launch")


@pytest.fixture()
def idle(launch, monkeypatch):
    """Scheduler and servers that only sleep, for what needs no MXNet."""
    monkeypatch.setattr(launch, "SERVE", [sys.executable, "-c", "import time; time.sleep(60)"])
    return launch


def is_running(pid):
    """Whether a process exists and is no zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path("/proc") / str(pid) / "stat"
    return not state.is_file() or state.read_text().rsplit(")", 1)[1].split()[0] != "Z"


def arguments(**changed):
    values = {"workers": 2, "servers": 1, "gpus_per_worker": None, "command": ["train", "a b"], "ssh": "ssh -p 22", **changed}
    return argparse.Namespace(**values)


def test_two_workers_exchange():
    status, output, errors = finish(start("-n", "2", "-s", "1", "--", sys.executable, "-c",
                                          EXCHANGE.format(between="")))
    lines = sorted(line.split("] ")[1] for line in output.splitlines() if "pulled" in line)
    assert status == 0, output + errors
    assert lines == [f"rank 0 of 2 {PULLED}", f"rank 1 of 2 {PULLED}"]
    assert {line.split("] ")[0] for line in output.splitlines()} == {"[worker 0", "[worker 1"}
    assert errors.startswith("cian launch: ") and errors.count("\n") == 1  # time and memory


@pytest.mark.parametrize("code, expected, how", [
    (EXCHANGE.format(between="if store.rank == 1: raise RuntimeError('out of luck')"), 1, "ended with status 1"),
    ("import os; os.kill(os.getpid(), 9)", 137, "was killed by SIGKILL")], ids=["raises", "killed"])
def test_a_dying_worker_stops_all(code, expected, how):
    status, output, errors = finish(start("-n", "2", "-s", "1", "--grace", "1", "--", sys.executable, "-c", code))
    assert status == expected
    assert errors.startswith("error: worker ") and errors.endswith(f"{how}; all others were stopped\n")
    assert "pulled" not in output and ("RuntimeError: out of luck" in output) == (expected == 1)


@pytest.mark.parametrize("number, expected", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_all(number, expected):
    """Workers may tidy up at SIGTERM; whoever does not end in time is killed, children of children, too."""
    code = """
import os, signal, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
def tidy(*_):
    print("tidied")
    sys.exit(0)
if sys.argv[1] == "tidy":
    signal.signal(signal.SIGTERM, tidy)
else:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("pids", os.getpid(), child.pid)
time.sleep(60)
"""
    for habit in ("tidy", "stubborn"):
        grace = "1" if habit == "stubborn" else "60"
        process = start("-n", "2", "--grace", grace, "--", sys.executable, "-c", code, habit)
        pids = []
        while len(pids) < 4:
            line = process.stdout.readline()
            assert line, process.communicate()
            pids += [int(word) for word in line.split("pids")[1].split()] if "pids" in line else []
        process.send_signal(number)
        status, output, errors = finish(process)
        assert status == expected
        assert errors == f"stopped by {signal.Signals(number).name}\n"
        assert output.count("tidied") == (2 if habit == "tidy" else 0)
        end = time.monotonic() + 60
        while any(is_running(pid) for pid in pids) and time.monotonic() < end:
            time.sleep(0.05)
        assert not [pid for pid in pids if is_running(pid)]


def test_a_killed_launcher_leaves_no_process(tmp_path):
    """Workers are asked to stop as long as the servers run; whoever does not, and every child of a child, is killed."""
    code = f"""
import os, signal, subprocess, sys, time
from pathlib import Path
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
def tidy(*_):
    Path({str(tmp_path)!r}, "tidied").mkdir(exist_ok=True)
    time.sleep(60)
signal.signal(signal.SIGTERM, tidy)
print("pids", os.getpid(), child.pid)
time.sleep(60)
"""
    process = start("-n", "2", "--grace", "5", "--", sys.executable, "-c", code)
    pids = []
    while len(pids) < 4:
        line = process.stdout.readline()
        assert line, process.communicate()
        pids += [int(word) for word in line.split("pids")[1].split()] if "pids" in line else []
    pids += children_of(process.pid)
    assert len(set(pids)) == 7  # two workers and their children, scheduler, server, and the guardian of all
    process.kill()
    process.wait()
    end = time.monotonic() + 60
    while any(is_running(pid) for pid in pids) and time.monotonic() < end:
        time.sleep(0.05)
    assert not [pid for pid in pids if is_running(pid)] and (tmp_path / "tidied").is_dir()
    process.communicate()


def test_workers_without_a_store_end_well(idle, capfd):
    status = idle.main(["-n", "2", "--grace", "0.5", "--", sys.executable, "-c", "print('a\\rb'); print('c')"])
    output, errors = capfd.readouterr()
    assert status == 0
    assert sorted(output.splitlines()) == ["[worker 0] b", "[worker 0] c", "[worker 1] b", "[worker 1] c"]
    assert "without a dist kvstore" in errors


def test_a_command_that_is_not_there(idle, capfd):
    assert idle.main(["-n", "1", "--grace", "0.5", "--", "no-such-command"]) == 2
    assert "worker 0 could not be started" in capfd.readouterr().err


def test_plan_of_one_machine(launch, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(processes.joblib, "cpu_count", lambda: 8)
    tasks = launch.plan(arguments(workers=3, servers=2), [], "127.0.0.1", 9000)
    assert [task.name for task in tasks] == ["scheduler", "server 0", "server 1", "worker 0", "worker 1", "worker 2"]
    assert tasks[4].command == ["train", "a b"] and tasks[4].host is None
    environment = processes.local_environment(tasks[4])
    expected = {"DMLC_ROLE": "worker", "DMLC_PS_ROOT_URI": "127.0.0.1", "DMLC_PS_ROOT_PORT": "9000",
                "DMLC_NUM_WORKER": "3", "DMLC_NUM_SERVER": "2", "DMLC_NODE_HOST": "127.0.0.1", "OMP_NUM_THREADS": "2"}
    assert {name: environment[name] for name in expected} == expected
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert processes.local_environment(tasks[4])["OMP_NUM_THREADS"] == "5"


@pytest.mark.parametrize("cards, named, workers, each, expected", [
    (4, None, 2, None, ["0,1", "2,3"]), (3, None, 2, None, ["0", "1"]), (2, None, 3, None, ["0", "1", "0"]),
    (4, None, 2, 1, ["0", "1"]), (4, "3,1", 2, None, ["3", "1"]), (4, None, 1, None, [None]), (4, None, 1, 2, ["0,1"]),
    (0, None, 2, None, [None, None]), (4, "", 2, None, ["", ""])])
def test_gpus_are_shared_as_processors_are(launch, monkeypatch, cards, named, workers, each, expected):
    monkeypatch.setattr(processes, "cards", lambda: [Card(n, "Card", (7, 0), 1) for n in range(cards)])
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if named is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    tasks = launch.plan(arguments(workers=workers, servers=1, gpus_per_worker=each), [], "127.0.0.1", 9000)
    found = [processes.local_environment(task).get("CUDA_VISIBLE_DEVICES") for task in tasks]
    assert found == [named, named, *expected]


def test_more_gpus_than_there_are(launch, monkeypatch):
    monkeypatch.setattr(processes, "cards", lambda: [Card(n, "Card", (7, 0), 1) for n in range(3)])
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    task = launch.plan(arguments(workers=2, servers=1, gpus_per_worker=2), [], "127.0.0.1", 9000)[-1]
    with pytest.raises(ValueError, match="--gpus-per-worker 2: 2 workers on a machine of 3 GPUs"):
        processes.local_environment(task)


@pytest.mark.parametrize("cards, each, expected", [
    (4, None, ["0,1", "2,3"]), (1, None, ["0", "0"]), (4, 1, ["0", "1"]), (0, None, ["", ""])])
def test_gpus_of_another_machine_are_shared_there(launch, monkeypatch, tmp_path, cards, each, expected):
    smi = tmp_path / "nvidia-smi"
    smi.write_text("#!/bin/sh\n" + "echo GPU\n" * cards)
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    found = []
    for place in (0, 1):
        task = processes.Task("worker", place, "host", ["sh", "-c", "echo got-$CUDA_VISIBLE_DEVICES"], {}, 2, place, each)
        command = processes.ssh_command("ssh", task, tmp_path)[-1]
        with subprocess.Popen(["sh", "-c", command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            found.append(process.stdout.readline().strip())  # its standard input stays open, as that of ssh does
    assert found == [f"got-{numbers}" for numbers in expected]


def test_plan_over_hosts(launch, monkeypatch):
    addresses = {"me@one": "10.0.0.1", "two": "10.0.0.2", "alias": None}
    monkeypatch.setattr(launch, "resolve", addresses.get)
    tasks = launch.plan(arguments(workers=4, servers=2), list(addresses), "10.0.0.9", 9000)
    assert [(task.role, task.host) for task in tasks] == [
        ("scheduler", None), ("server", "me@one"), ("server", "two"),
        ("worker", "me@one"), ("worker", "two"), ("worker", "alias"), ("worker", "me@one")]
    assert [task.environment.get("DMLC_NODE_HOST") for task in tasks[:1] + tasks[3:]] == [
        "10.0.0.9", "10.0.0.1", "10.0.0.2", None, "10.0.0.1"]
    assert [(task.sharing, task.place) for task in tasks[3:]] == [(2, 0), (1, 0), (1, 0), (2, 1)]


def test_own_address_of_an_unknown_host(launch, monkeypatch):
    assert launch.own_address("me@127.0.0.1") == "127.0.0.1"
    monkeypatch.setattr(launch, "resolve", lambda host: None)
    with pytest.raises(ValueError, match="say this machine's with --address"):
        launch.own_address("no-such-host.invalid")


@pytest.mark.parametrize("text, message", [("", "found none"), ("# a\n\n", "found none"),
                                           ("-oProxyCommand=x\n", "'-oProxyCommand=x'"), ("a b\n", "'a b'")])
def test_wrong_hostfile(launch, tmp_path, text, message):
    path = tmp_path / "hosts"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        launch.read_hosts(path)
    with pytest.raises(ValueError, match="hosts"):
        launch.main(["-n", "1", "-H", str(path), "--", "true"])


def test_hostfile(launch, tmp_path):
    path = tmp_path / "hosts"
    path.write_text("# machines\nme@one  # fast\n\ntwo\n")
    assert launch.read_hosts(path) == ["me@one", "two"]


@pytest.mark.parametrize("options", [["-n", "0"], ["-n", "1", "-s", "0"]])
def test_wrong_numbers(launch, options, capsys):
    with pytest.raises(SystemExit):
        launch.parse_args(options + ["--", "true"])
    assert "expected at least 1, found 0" in capsys.readouterr().err
