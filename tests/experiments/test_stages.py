"""experiments/stages.py: order, sharing, finishing, failing, interrupting, several at a time, with small real commands."""

import signal
import subprocess
import sys
import time

import joblib
import pytest
from small_training import ROOT
from table_scripts import Runner, Stage, StageFailed, claimed, in_order

from cian.base.files import read_json


def stage(folder, code, *needs):
    return Stage(folder, ((sys.executable, "-c", code),), needs)


def append(path, word):
    return f"open({str(path)!r}, 'a').write({word + ' '!r})"


def test_needs_come_first_and_each_stage_runs_once(tmp_path):
    log = tmp_path / "log"
    first = stage(tmp_path / "a", append(log, "a"))
    second = stage(tmp_path / "b", append(log, "b"), first)
    third = stage(tmp_path / "c", append(log, "c"), first, second)
    order = in_order([third, stage(tmp_path / "a", "raise SystemExit(1)")])  # the same name is the same stage
    assert [one.name for one in order] == ["a", "b", "c"]
    events = []
    Runner().run(order, lambda one: events.append(one.name), lambda one, seconds: events.append((one.name, seconds > 0)))
    assert log.read_text() == "a b c "
    assert events == ["a", ("a", True), "b", ("b", True), "c", ("c", True)]
    assert read_json(tmp_path / "a" / "stage.json")["commands"] == [list(first.commands[0])]
    events.clear()
    Runner(2).run(order, finished=lambda one, seconds: events.append((one.name, seconds)))
    assert log.read_text() == "a b c " and events == [("a", 0.0), ("b", 0.0), ("c", 0.0)]


def test_a_failure_is_shown_leaves_the_stage_open_and_stops_what_follows(tmp_path):
    log = tmp_path / "log"
    bad = stage(tmp_path / "bad", "import sys; print('the reason', file=sys.stderr); sys.exit(3)")
    after = stage(tmp_path / "after", append(log, "after"), bad)
    with pytest.raises(StageFailed, match=r"bad: status 3 from (.|\n)*the reason\nall of it: .*bad/stage.log"):
        Runner(2).run([bad, after])
    assert not bad.finished and not after.finished and not log.exists()
    bad.folder.joinpath("stage.log").unlink()
    good = stage(tmp_path / "bad", append(log, "mended"))
    Runner().run([good, stage(tmp_path / "after", append(log, "after"), good)])
    assert log.read_text() == "mended after "


def test_several_at_a_time_share_the_processors(tmp_path):
    meet = (
        "import os, sys, time\ne = os.environ\nopen(sys.argv[1], 'w').write(e['OMP_NUM_THREADS'] + e['LOKY_MAX_CPU_COUNT'])\n"
    )
    meet += "end = time.time() + 600\nwhile not os.path.exists(sys.argv[2]):\n"
    meet += "    assert time.time() < end\n    time.sleep(0.01)"
    paths = str(tmp_path / "x"), str(tmp_path / "y")
    stages = [
        Stage(tmp_path / name, ((sys.executable, "-c", meet, *order),)) for name, order in (("a", paths), ("b", paths[::-1]))
    ]
    Runner(2).run(stages)  # each waits for the other, so one after the other would fail
    share = str(max(1, joblib.cpu_count() // 2))
    assert (tmp_path / "x").read_text() == share * 2


def test_a_folder_in_use_is_refused(tmp_path):
    used = stage(tmp_path / "used", "pass")
    with claimed(used.folder), pytest.raises(RuntimeError, match="used: another process works on this stage"):
        Runner().run([used])
    Runner().run([used])
    assert used.finished


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_reaches_the_command(tmp_path, number):
    code = (
        "import sys\nfrom pathlib import Path\nsys.path.insert(0, 'experiments')\nfrom stages import Runner, Stage\n"
        "child = '''import signal, sys, time\\n"
        'def end(*_):\\n    open(sys.argv[1], "w").write("state")\\n    sys.exit(143)\\n'
        "signal.signal(signal.SIGTERM, end)\\nopen(sys.argv[2], \"w\").close()\\ntime.sleep(60)'''\n"
        "folder = Path(sys.argv[1])\n"
        "words = (sys.executable, '-c', child, str(folder / 'state'), str(folder / 'up'))\n"
        "Runner(2).run([Stage(folder / 's', (words, words))])\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], cwd=str(ROOT), stderr=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # which a shell ignores in the background
    )  # fmt: skip
    end = time.monotonic() + 60
    while not (tmp_path / "up").exists():
        assert time.monotonic() < end and process.poll() is None
        time.sleep(0.02)
    process.send_signal(number)
    assert process.wait(30) != 0
    assert (tmp_path / "state").read_text() == "state" and not (tmp_path / "s" / "stage.json").exists()
