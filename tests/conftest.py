"""Fixtures: development data and a browser, where there are; and the processors, shared by the tests' processes."""
import os
from pathlib import Path

import joblib
import pytest
from xdist.scheduler import LoadFileScheduling

os.environ.update(LC_ALL="C", PYTHONUTF8="1")  # a locale that is not installed makes every bash say so
os.environ["no_proxy"] = "*"  # servers of tests are on this machine
if "PYTEST_XDIST_WORKER_COUNT" in os.environ:  # before MXNet reads it; tools that tests start inherit it
    share = max(1, joblib.cpu_count() // int(os.environ["PYTEST_XDIST_WORKER_COUNT"]))
    os.environ.setdefault("OMP_NUM_THREADS", str(share))
    os.environ.setdefault("LOKY_MAX_CPU_COUNT", str(share))  # processes that a tool starts where a test does not say how many


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium (tests/browser.py); the test skips without one."""
    from browser import Browser, find_chromium

    if find_chromium() is None:
        pytest.skip("no Chromium (set CIAN_CHROMIUM)")
    with Browser() as browser:
        yield browser


@pytest.fixture(scope="session")
def shared():
    """The folder with real images, golden files and weights: $CIAN_SHARED or ../shared; the test skips without it."""
    folder = Path(os.environ.get("CIAN_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    if not (folder / "golden").is_dir():
        pytest.skip(f"no development data at {folder} (set CIAN_SHARED)")
    return folder


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config):
    """-n auto: a process for each processor that this container may use, as long as 3 GB are free for each."""
    from cian.base.parallel import free_memory, processors

    return int(max(1, min(processors(), free_memory() // 3e9)))


class FewTestsFirst(LoadFileScheduling):
    """Files in the order of their number of tests, the fewest first: these have the long tests, which at the end, where
    LoadFileScheduling has them, leave all processes but one without work."""

    def schedule(self):
        super().schedule()
        for name in sorted(self.workqueue, key=lambda name: len(self.workqueue[name])):
            self.workqueue.move_to_end(name)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    return FewTestsFirst(config, log) if config.getoption("dist") == "loadfile" else None
