"""What the tests of tools/launch.py share: an exchange between workers, and the tool as a process."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TOOL = ROOT / "tools" / "launch.py"
# Each worker pushes its rank + 1 into a value that starts at 0: with two workers all pull 1 + 2.
EXCHANGE = """
from cian.base.runtime import mx
store = mx.kv.create("dist_sync")
store.init(0, mx.nd.zeros((2, 3)))
{between}
store.push(0, mx.nd.ones((2, 3)) * (store.rank + 1))
pulled = mx.nd.zeros((2, 3))
store.pull(0, out=pulled)
print("rank", store.rank, "of", store.num_workers, "pulled", pulled.asnumpy().ravel().tolist())
"""
PULLED = "pulled " + str([3.0] * 6)


def environment():
    """This environment, in which an uninstalled clone finds the package, too."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return dict(os.environ, PYTHONPATH=path)


def start(*arguments):
    return subprocess.Popen([sys.executable, str(TOOL)] + list(arguments), env=environment(), stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, universal_newlines=True)


def finish(process, timeout=600):
    try:
        output, errors = process.communicate(timeout=timeout)
    finally:
        process.kill()
    return process.returncode, output, errors


def children_of(pid):
    """The processes that a process has started."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # just gone
            if int(stat.read_text().rsplit(")", 1)[1].split()[1]) == pid:
                found.append(int(stat.parent.name))
    return found
