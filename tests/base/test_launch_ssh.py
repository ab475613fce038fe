"""tools/launch.py over ssh, for which a stand-in runs the commands here."""

import shlex
import subprocess
import sys

import pytest
from launching import EXCHANGE, PULLED, finish, start
from scripts import module_of

from cian.base import processes


@pytest.fixture()
def launch():
    return module_of("launch")


@pytest.fixture()
def idle(launch, monkeypatch):
    """Scheduler and servers that only sleep, for what needs no MXNet."""
    monkeypatch.setattr(launch, "SERVE", [sys.executable, "-c", "import time; time.sleep(60)"])
    return launch


@pytest.fixture()
def ssh(tmp_path):
    """A stand-in that records its host and runs the command in a shell here, as sshd would."""
    path = tmp_path / "ssh"
    log = shlex.quote(str(tmp_path / "hosts.log"))
    path.write_text(f'#!/bin/sh\nwhile [ $# -gt 2 ]; do shift; done\necho "$1" >> {log}\nexec sh -c "$2"\n')
    path.chmod(0o755)
    return path


def test_ssh_passes_folder_variables_and_arguments(launch, ssh, tmp_path, monkeypatch):
    folder = tmp_path / "a folder's"
    folder.mkdir()
    monkeypatch.setenv("CIAN_TEST", "it's $HOME \"quoted\"")
    monkeypatch.setenv("MY_SECRET", "stays here")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    code = ("import os, sys; print(os.getcwd(), sys.argv[1:], os.environ['CIAN_TEST'], os.environ['DMLC_ROLE'], "
            "os.environ['OMP_NUM_THREADS']); sys.exit(7)")
    command = [sys.executable, "-c", code, "a b", "$x;'\""]
    task = launch.Task("worker", 0, "host", command, {"DMLC_ROLE": "worker"}, sharing=99999)
    command = processes.ssh_command(f"{ssh} -p 22", task, folder)
    assert command[:4] == [str(ssh), "-p", "22", "host"] and "MY_SECRET" not in command[4]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, universal_newlines=True) as process:
        output = process.stdout.read()  # standard input stays open: its end would stop the command
        assert process.wait(timeout=600) == 7
    assert output == f"{folder} {['a b', '$x;' + chr(39) + chr(34)]} it's $HOME \"quoted\" worker 1\n"
    assert (tmp_path / "hosts.log").read_text() == "host\n"


def test_exchange_over_ssh(ssh, tmp_path):
    hosts = tmp_path / "hosts"
    hosts.write_text("localhost\n127.0.0.1\n")
    status, output, errors = finish(start("-n", "2", "-H", str(hosts), "--ssh", str(ssh), "--", sys.executable, "-c",
                                          EXCHANGE.format(between="")))
    assert status == 0, output + errors
    assert output.count(PULLED) == 2
    assert sorted((tmp_path / "hosts.log").read_text().split()) == ["127.0.0.1", "localhost", "localhost"]


def test_stopping_over_ssh(idle, ssh, tmp_path, capfd):
    """One worker fails; the other, over a connection that is then closed, hears SIGTERM and may tidy up."""
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1\n")
    code = """
import os, signal, sys, time
os.chdir(sys.argv[1])
def tidy(*_):
    os.mkdir("tidied")
    sys.exit(0)
try:
    os.mkdir("first")
except FileExistsError:
    while not os.path.exists("ready"):
        time.sleep(0.05)
    sys.exit(4)
signal.signal(signal.SIGTERM, tidy)
os.mkdir("ready")
time.sleep(60)
"""
    status = idle.main(["-n", "2", "-H", str(hosts), "--ssh", str(ssh), "--grace", "5", "--",
                        sys.executable, "-c", code, str(tmp_path)])
    assert status == 4 and "ended with status 4; all others were stopped" in capfd.readouterr().err
    assert (tmp_path / "tidied").is_dir()
