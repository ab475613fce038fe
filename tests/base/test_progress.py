"""Progress where there is no terminal: lines now and then, with rate and end, and one at the end; a bar on a terminal."""

import io
import logging
import re
import sys

import pytest

from cian.base import progress as module
from cian.base.progress import Progress, clock, duration, tracked


@pytest.fixture
def clocks(monkeypatch):
    """A clock that goes on when it is told."""
    now = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def test_a_line_every_pause_and_at_the_end(clocks, caplog):
    caplog.set_level(logging.INFO, "cian.base.progress")
    with Progress(100, "predict val", "image", done=20) as shown:
        for _ in range(80):
            clocks[0] += 4
            shown.update()
    lines = caplog.messages
    assert len(lines) == 9 + 1  # 80 images of 4 s: a line each 32 s, but none for the last image, and the end
    assert re.fullmatch(r"predict val: 28 of 100 images, 4\.0 s/image, done about .*\d\d:\d\d", lines[0])
    assert lines[-1] == "predict val: 100 of 100 images, 4.0 s/image, took 5 min"


def test_lines_of_long_work_are_few(clocks, caplog):
    caplog.set_level(logging.INFO, "cian.base.progress")
    with Progress(100000, "epoch 1/2", "step") as shown:
        for _ in range(100000):
            clocks[0] += 1
            shown.update(note="loss 0.5")
    assert len(caplog.messages) == 100 and caplog.messages[0].startswith("epoch 1/2: 1000 of 100000 steps, 1.0 steps/s, ")
    assert caplog.messages[0].endswith(", loss 0.5")


def test_bytes_errors_and_nothing_to_do(clocks, caplog):
    caplog.set_level(logging.INFO, "cian.base.progress")
    with Progress(2 * 10**9, "unpack", "B") as shown:
        clocks[0] += 100
        shown.update(2 * 10**9)
    with pytest.raises(ValueError), Progress(3, "evaluate", "image"):
        raise ValueError
    with Progress(3, "seeds", "image", done=3):
        pass
    assert caplog.messages == ["unpack: 2.00G of 2.00GB, 20.0MB/s, took 2 min", "seeds: 3 of 3 images"]


def test_items_are_counted_as_they_are_done(clocks, caplog):
    caplog.set_level(logging.INFO, "cian.base.progress")
    assert list(tracked(["a", "b"], "pairs", "pair")) == ["a", "b"]
    assert caplog.messages == ["pairs: 2 of 2 pairs"]


def test_a_bar_on_a_terminal_and_nothing_when_quiet(monkeypatch, caplog):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    caplog.set_level(logging.INFO, "cian.base.progress")
    with Progress(2, "predict", "image") as shown:
        shown.update(note="loss 1")
    assert "predict:" in terminal.getvalue() and "\r" in terminal.getvalue()
    written = len(terminal.getvalue())
    caplog.set_level(logging.WARNING, "cian.base.progress")
    caplog.clear()
    with Progress(2, "predict", "image") as shown:
        shown.update()
    assert len(terminal.getvalue()) == written and caplog.messages == []


def test_times():
    assert [duration(seconds) for seconds in (7.4, 720, 12240)] == ["7 s", "12 min", "3.4 h"]
    assert re.fullmatch(r"\d\d:\d\d", clock(0)) and re.fullmatch(r"\w{3} \d\d \w{3} \d\d:\d\d", clock(3 * 86400))
