"""Whole images in several processes: who works where, on what part of a list, and who does what another has in hand."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from echo_worker import make

from cian.base import places as places_module
from cian.base import runtime
from cian.base.claims import Claims, fill
from cian.base.locks import hold, release
from cian.base.places import crf_workers, places, shard, take_shard
from cian.base.runtime import mx
from cian.base.workers import Place, Workers

ROOT = Path(__file__).resolve().parents[2]


def start(code, *words):
    """A Python process without MXNet that has said "ready" and waits for a line on its input."""
    code += "\nprint('ready', flush=True)\ninput()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, words)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=str(ROOT)
    )
    assert process.stdout.readline() == "ready\n"
    return process


def end(process):
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


def machine(monkeypatch, threads, gpus=0, memory=1e12):
    monkeypatch.setenv("OMP_NUM_THREADS", str(threads))
    monkeypatch.setattr(places_module, "free_memory", lambda: memory)
    monkeypatch.setattr(places_module, "all_devices", lambda: [mx.gpu(n) for n in range(gpus)] or [mx.cpu(0)])
    monkeypatch.setattr(places_module, "processors", lambda: 8)
    monkeypatch.setattr(runtime, "count_gpus", lambda: gpus)


@pytest.mark.parametrize("threads, images, memory, expected", [
    (8, 1000, 1e12, (8, 1)), (8, 24, 1e12, (3, 2)), (8, 15, 1e12, (1, 8)), (8, 1000, 5e9, (3, 2)), (1, 1000, 1e12, (1, 1)),
    (8, 1000, 1e8, (1, 8))])
def test_processes_that_share_the_processors(monkeypatch, threads, images, memory, expected):
    machine(monkeypatch, threads, memory=memory)
    found = places(None, None, images)
    assert (len(found), found[0].threads) == expected and set(found) == {Place("cpu0", expected[1])}
    assert crf_workers(None, found) == (1 if expected[0] == 1 else 0)


def test_a_process_a_gpu(monkeypatch):
    machine(monkeypatch, 8, gpus=2)
    found = places(None, None, 3)
    assert found == [Place("gpu0", 4), Place("gpu1", 4)] and crf_workers(None, found) == 3
    assert places("gpu1", None, 1000) == [Place("gpu1", 8)]
    assert [place.device for place in places(None, 3, 1000)] == ["gpu0", "gpu1", "gpu0"]
    assert places(None, None, 1) == [Place("gpu0", 8)]


def test_as_many_processes_as_asked_for(monkeypatch):
    machine(monkeypatch, 2)
    assert places("cpu", 3, 10) == [Place("cpu0", 1)] * 3 and places(None, 4, 2) == [Place("cpu0", 1)] * 2
    assert crf_workers(5, [Place("cpu0", 1)] * 3) == 2
    with pytest.raises(ValueError, match="--processes 0: expected 1 or more"):
        places(None, 0, 10)
    with pytest.raises(ValueError, match="--workers 0: expected 1 or more"):
        crf_workers(0, [Place("cpu0", 1)])


def test_shards_are_a_partition():
    ids = [f"id{number}" for number in range(11)]
    parts = [take_shard(ids, shard(f"{part}/3")) for part in (1, 2, 3)]
    assert sorted(sum(parts, [])) == sorted(ids) and [len(part) for part in parts] == [4, 4, 3]
    assert take_shard(ids, (1, 1)) == ids


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "1/0", "a/2", "1/2/3", "-1/2", ""])
def test_no_shard(text):
    with pytest.raises(Exception, match="expected I/N with 1 <= I <= N, such as 2/4"):
        shard(text)


def test_items_go_to_all_workers():
    taken = []

    def items():
        for number in range(12):
            taken.append(number)
            yield number

    with Workers(make, [Place("cpu", 3), Place("gpu1", 5)]) as workers:
        found = []
        for one in workers.run(items()):
            found.append(one)
            assert len(taken) <= len(found) + 5  # lazily: what the workers have, and what has just come back
        assert sorted(item for item, *_ in found) == list(range(12))
        assert {(device, threads) for _, device, _, threads in found} == {("cpu", "3"), ("gpu1", "5")}
        assert len({process for *_, process, _ in found}) == 2 and os.getpid() not in {process for *_, process, _ in found}
        with pytest.raises(ValueError, match="bad: cannot be worked on"):
            list(workers.run(["good", "bad"]))


def test_one_worker_is_here(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    with Workers(make, [Place("cpu", 1)]) as workers:
        assert list(workers.run([1, 2])) == [(1, "cpu", os.getpid(), "7"), (2, "cpu", os.getpid(), "7")]


def test_what_another_has_in_hand_is_left_to_it(tmp_path):
    code = "import sys; from cian.base.claims import Claims; c = Claims(sys.argv[1]); assert all(map(c.take, sys.argv[2:]))"
    other = start(code, tmp_path, "b", "c")
    made = []

    def run(names):
        for name in names:
            made.append(name)
            (tmp_path / name).write_text("")
            if name == "d":  # the other finishes b, and ends without c
                (tmp_path / "b").write_text("")
                end(other)
            yield name

    (tmp_path / "e").write_text("")
    assert sorted(fill(tmp_path, "abcde", lambda name: (tmp_path / name).exists(), run)) == list("abcde")
    assert made == ["a", "d", "c"]


def test_claims_end_when_they_are_released(tmp_path):
    code = (
        "import sys; from cian.base.claims import Claims\n"
        "print(*[Claims(sys.argv[1]).take(name) for name in 'ab'], flush=True)"
    )
    with Claims(tmp_path) as claims:
        assert claims.take("a") and claims.take("b")
        claims.release("b")
        found = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True, cwd=str(ROOT)
        )
    assert found.stdout.split() == ["False", "True"]


def test_a_folder_is_held_together_or_alone(tmp_path):
    other = start("import sys; from cian.base.locks import hold; hold(sys.argv[1], together=True)", tmp_path)
    hold(tmp_path, together=True)
    release(tmp_path)
    with pytest.raises(RuntimeError, match="another process writes into this folder"):
        hold(tmp_path)
    end(other)
    hold(tmp_path)
    release(tmp_path)
