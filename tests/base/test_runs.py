"""The run folder: begun, gone on with, refused; damaged files of it are named."""
import copy
import json
import logging
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from cian.base import runs
from cian.base.cli import describe
from cian.base.files import read_json, write_json
from cian.base.outputs import claim_output
from cian.base.runs import Run, file_digest, tags_digest

RECORD = {
    "tool": "train", "settings": {"lr": 0.1, "batch": 4}, "init": "a.params", "list": "train", "data": "d1", "tags": "t1",
    "weights": "w1", "shares": 2, "circumstances": {"devices": ["cpu(0)"], "threads": "2", "command": ["x"]},
}


def record(**changes):
    return {**copy.deepcopy(RECORD), **changes}


@pytest.fixture()
def begun(tmp_path):
    """A run with one step and its state."""
    run = Run(tmp_path / "run", "net")
    run.open(record(), resume=False)
    run.log(epoch=0, step=0, loss=1.0)
    run.save_state({"arg:w": np.arange(3.0)}, epoch=0, step=1, updates=1)
    run.close()
    return run


def test_a_run_without_a_step_counts_as_not_begun(tmp_path):
    (tmp_path / "mine").mkdir()
    run = Run(tmp_path / "mine" / "run", "net")
    run.open(record(init="typo.params"), resume=False)
    run.open(record(), resume=False)  # as after a start that was killed
    assert read_json(run.settings_path) == RECORD
    run.close()
    assert list(tmp_path.rglob("*")) == [tmp_path / "mine"]  # and a start that fails leaves nothing


def test_a_begun_run_needs_resume_and_stays(begun):
    with pytest.raises(FileExistsError, match="holds a run already; give --resume"):
        begun.open(record(), resume=False)
    begun.open(record(), resume=True)
    begun.close()
    assert begun.settings_path.exists() and begun.state_path.exists()


@pytest.mark.parametrize("change, message", [
    ({"tags": "t2"}, "tags was 't1', now 't2'"),
    ({"weights": "w2"}, "weights was 'w1', now 'w2'"),
    ({"shares": 1}, "shares was 2, now 1"),
    ({"settings": {"lr": 0.5, "batch": 4}}, "differently: lr was 0.1, now 0.5"),
    ({"data": "d2", "list": "val"}, "data was 'd1', now 'd2'; list was 'train', now 'val'")])
def test_resuming_names_what_differs(begun, change, message):
    with pytest.raises(ValueError, match=message):
        begun.open(record(**change), resume=True)


def test_resuming_says_what_may_change_the_last_digits(begun, caplog):
    with caplog.at_level(logging.INFO):
        begun.open(record(circumstances={"devices": ["gpu(0)"], "threads": "2", "command": ["y"]}), resume=True)
    assert caplog.messages == [
        "goes on under other circumstances, so the last digits may differ: devices was ['cpu(0)'], now ['gpu(0)']"]


def test_a_run_of_an_older_version_goes_on_and_one_of_a_newer_does_not(begun):
    old = {key: value for key, value in RECORD.items() if key not in ("tags", "weights", "shares", "circumstances")}
    write_json(begun.settings_path, old)
    begun.open(record(), resume=True)
    write_json(begun.settings_path, record(flavour="sweet"))
    with pytest.raises(ValueError, match="flavour was 'sweet', now None"):
        begun.open(record(), resume=True)


@pytest.mark.parametrize("content, error, message", [
    (None, FileNotFoundError, "settings.json: missing, though a training was begun there"),
    ("", ValueError, "settings.json: not valid JSON"), ("[]", ValueError, "settings.json: expected a JSON object"),
    ("{}", ValueError, "settings.json: the run was begun differently: .*tool was None")])
def test_a_damaged_record_is_named(begun, content, error, message):
    begun.settings_path.unlink()
    if content is not None:
        begun.settings_path.write_text(content)
    with pytest.raises(error, match=message):
        begun.open(record(), resume=True)


def test_a_damaged_state_is_named(begun):
    assert begun.load_state()[1] == {"epoch": 0, "step": 1, "updates": 1}
    whole = begun.state_path.read_bytes()
    begun.state_path.write_bytes(whole[:100])
    with pytest.raises(ValueError, match="resume.npz: cannot be read as a state"):
        begun.load_state()
    np.savez(str(begun.state_path), **{"number:epoch": np.int64(1), "number:step": np.zeros(2)})
    with pytest.raises(ValueError, match="resume.npz: not the state of a training .lacks epoch, step, updates"):
        begun.load_state()


def test_lines_of_the_log_that_are_no_steps_are_dropped(begun):
    lines = [{"epoch": 0, "step": 0}, {"epoch": 0, "val_miou": 0.5}, {"epoch": 1, "step": 1}, {"epoch": 1, "val_miou": 0.6}]
    text = [json.dumps(line) for line in lines]
    begun.log_path.write_bytes("\n".join([text[0], "[1]", '{"epoch": 0', *text[1:]]).encode() + b"\n\xff\xfe{\n")
    begun.cut_log(1, 1)
    assert [json.loads(line) for line in begun.log_path.read_text().splitlines()] == lines[:2]


def test_an_output_without_results_may_be_claimed_anew(tmp_path):
    claim_output(tmp_path, "seeds.json", {"checkpoint": "wrong"})
    (tmp_path / "stage.log").write_text("error")
    claim_output(tmp_path, "seeds.json", {"checkpoint": "right"})
    (tmp_path / "cam").mkdir()
    (tmp_path / "cam" / "a.npz").write_bytes(b"")
    claim_output(tmp_path, "seeds.json", {"checkpoint": "right"})
    with pytest.raises(ValueError, match="holds files of another checkpoint or other settings"):
        claim_output(tmp_path, "seeds.json", {"checkpoint": "wrong"})


def test_digests(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert file_digest(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert tags_digest({"a": (1, 2), "b": (3,)}, ["a", "b"]) != tags_digest({"a": (1,), "b": (2, 3)}, ["a", "b"])
    assert tags_digest({"a": (1, 2), "b": (3,)}, ["a"]) == tags_digest({"a": [np.int64(1), 2]}, ["a"])


def test_errors_as_one_line():
    assert describe(OSError(28, "No space left on device", "/x/y")) == "/x/y: No space left on device"
    assert describe(FileNotFoundError("x: no such list")) == "x: no such list"


@pytest.mark.parametrize("flags, held, said", [
    ("fpu sse4_1 avx avx2 avx512f", None, "AVX-512"), ("fpu sse4_1 avx2", "SSE41", "AVX2, held to SSE41"), ("fpu", None, None)])
def test_the_machine_says_what_rounds(flags, held, said, monkeypatch):
    """Name of the first processor, number that may be used, widest instructions, and what oneDNN is held to."""
    text = f"processor : 0\nmodel name\t: M 7 @ 2: GHz\nflags\t\t: {flags}\n\nprocessor : 1\nmodel name\t: other\n"
    monkeypatch.setattr(Path, "read_text", lambda self, **how: text if str(self) == "/proc/cpuinfo" else None)
    monkeypatch.setattr(runs, "processors", lambda: 2)
    monkeypatch.delenv("DNNL_MAX_CPU_ISA", raising=False)
    if held:
        monkeypatch.setenv("DNNL_MAX_CPU_ISA", held)
    assert runs.machine() == "M 7 @ 2: GHz, 2 processors" + (f", {said}" if said else "")


def test_the_commit_says_when_the_code_was_changed(tmp_path, monkeypatch):
    for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):
        monkeypatch.setenv(name, os.devnull)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(tmp_path)]
    code, results = tmp_path / "cian" / "a.py", tmp_path / "experiments" / "results" / "x.jsonl"
    for path in (code, results):
        path.parent.mkdir(parents=True)
        path.write_text("1")
    assert runs.git_commit(code.parent) is None
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "x"]):
        subprocess.run(git + words, check=True)
    commit = runs.git_commit(code.parent)
    assert len(commit) == 40
    results.write_text("2")  # the scripts add their numbers while they run
    assert runs.git_commit(code.parent) == commit
    code.write_text("2")
    assert runs.git_commit(code.parent) == commit + "-dirty"
