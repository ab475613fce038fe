"""What all verbs have in common: help, version, wrong options, names of options that were others once, and how they end."""

import argparse
import importlib
import logging
import re
import subprocess
import sys
from pathlib import Path

import pytest

import cian
from cian import __main__ as command
from cian.base import messages
from cian.base.cli import describe, run_tool
from cian.base.parser import Parser
from cian.base.stops import Interrupted

ROOT = Path(__file__).resolve().parents[2]


def parser_of(verb, part=None):
    """The parser of a verb, or of a part of it."""
    made = importlib.import_module(f"cian.commands.{verb}").make_parser()
    return made if part is None else parts_of(made)[part]


def parts_of(parser):
    return next((action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction)), {})


PARSERS = [(verb, part) for verb in command.VERBS for part in (None, *parts_of(parser_of(verb)))]


@pytest.fixture
def said(capsys):
    """Call it for what has been said on standard error since; how loud verbs are is put back in the end."""
    root = logging.getLogger()
    before = list(root.handlers), root.level, messages.PACKAGE.level
    yield lambda: capsys.readouterr().err
    logging.captureWarnings(False)
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    messages.PACKAGE.setLevel(before[2])
    logging.getLogger("cian.base.progress").setLevel(logging.NOTSET)


def test_every_verb_is_a_module_and_a_program_and_the_other_way_round():
    assert set(command.VERBS) == {path.stem for path in (ROOT / "cian" / "commands").glob("[!_]*.py")}
    assert {*command.VERBS, "start"} == {path.stem for path in (ROOT / "tools").glob("*.py")}
    for verb in command.VERBS:
        assert f'    run("{verb}")\n' in (ROOT / "tools" / f"{verb}.py").read_text(encoding="utf-8")


@pytest.mark.parametrize("verb, part", PARSERS)
def test_help(verb, part, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "100")
    text = parser_of(verb, part).format_help()
    usage = text.split("\n\n")[0]
    assert usage.startswith(f"usage: cian {verb}" + ("" if part is None else f" {part}")) and len(usage) < 200
    assert "None)" not in text and str(ROOT) not in text and "==SUPPRESS==" not in text
    assert f"cian {verb}" in text.split("example:")[1] if part is None else True


@pytest.mark.parametrize("verb, part", [(verb, part) for verb, part in PARSERS if part or not parts_of(parser_of(verb))])
def test_a_wrong_option_shows_two_lines_and_what_was_meant(verb, part, said):
    words = [part] if part else []
    assert command.main([verb, *words, "--outptu" if verb != "doctor" else "--dtaa", "x", "--vresion"]) == 2
    usage, error = said().splitlines()
    assert usage.startswith("usage: cian ") and error.startswith("error: unknown option --")
    shown = {name for action in parser_of(verb, part)._actions for name in action.option_strings}
    for wrong, right in (("--outptu", "--output"), ("--dtaa", "--data")):
        if wrong in error and right in shown:
            assert error == f"error: unknown option {wrong}; did you mean {right}?"


@pytest.mark.parametrize("verb", command.VERBS)
def test_version_of_every_verb(verb, capsys):
    assert command.main([verb.replace("_", "-"), "--version"]) == 0
    assert capsys.readouterr().out == f"cian {cian.__version__}\n"


def test_the_command_itself(capsys):
    assert command.main(["--version"]) == 0 and capsys.readouterr().out == f"cian {cian.__version__}\n"
    assert command.main(["--help"]) == 0
    told = capsys.readouterr().out
    places = [told.index(f"\n  {verb} ") for verb in command.VERBS]
    assert places == sorted(places)
    assert command.main([]) == 2 and "a verb is missing" in capsys.readouterr().err
    assert command.main(["tran"]) == 2
    assert capsys.readouterr().err.endswith("error: no verb 'tran', see `cian --help`; did you mean train?\n")


OLD_NAMES = [
    ("train", None, "--seeds", "--labels"), ("train", None, "--batch", "--batch-size"),
    ("train", None, "--crop", "--crop-size"), ("train_cam", None, "--batch", "--batch-size"),
    ("train_irn", None, "--batch", "--batch-size"), ("train_irn", None, "--crop", "--crop-size"),
    ("evaluate", None, "--seeds", "--ignore-unassigned"), ("report", None, "--seeds", "--seeds-folder"),
    ("report", None, "--images", "--count"), ("report", None, "--sheet-seed", "--seed"),
    ("make_seeds", None, "--substitute-seed", "--seed"), ("refine", None, "--cam-threshold", "--background-threshold"),
    ("predict", None, "--classes", "--class-names"), ("export", None, "--classes", "--class-names"),
    ("export", None, "--group", "--group-size"), ("benchmark", "matching", "--groups", "--group-sizes"),
    ("benchmark", "crf", "--images", "--count"), ("benchmark", "export", "--images", "--count"),
    ("draw", "affinity", "--images", "--count"), ("draw", "improvements", "--images", "--count"),
    ("draw", "matching", "--images", "--count"),
]  # fmt: skip
SHOWN_BESIDE = ("--batch", "--crop")  # the settings' own names


@pytest.mark.parametrize("verb, part, old, new", OLD_NAMES)
def test_old_names_are_the_same_options(verb, part, old, new):
    parser = parser_of(verb, part)
    assert parser._option_string_actions[old] is parser._option_string_actions[new]
    shown = {name for action in parser._actions for name in action.option_strings}
    assert new in shown and (old in shown) == (old in SHOWN_BESIDE)


def test_settings_by_their_old_and_new_names():
    from cian.config import Refinement, from_arguments

    words = ["--cams", "c", "--data", "d", "--output", "o", "--preset", "voc12"]
    for name in ("--cam-threshold", "--background-threshold"):
        assert from_arguments(parser_of("refine").parse_args([*words, name, "0.4"]), Refinement).cam_threshold == 0.4


@pytest.mark.parametrize("error, status, text", [
    (ValueError("--list: no such list"), 2, "error: --list: no such list\n"),
    (FileNotFoundError(2, "No such file or directory", "a/b.txt"), 2, "error: a/b.txt: No such file or directory\n"),
    (OSError(28, "No space left on device"), 2, "error: No space left on device\n"),
    (OSError(30, "Read-only file system", "x"), 2, "error: x: Read-only file system\n"),
    (OSError(18, "Invalid cross-device link", "x", None, "y"), 2, "error: x -> y: Invalid cross-device link\n"),
    (Interrupted(15), 143, "stopped by SIGTERM; --resume goes on from here\n"),
    (KeyboardInterrupt(), 130, "interrupted; run the same command again to go on\n"),
    (SystemExit(3), 3, ""),
])  # fmt: skip
def test_how_a_verb_ends_with_an_error(said, error, status, text):
    def main(argv):
        raise error

    assert run_tool(main, [], "cian x") == status
    assert said() == text


def test_how_a_verb_ends_well(said):
    assert run_tool(lambda argv: 1, [], "cian x") == 1 and said() == ""  # what it checked is not right
    assert run_tool(lambda argv: None, [], "cian x") == 0
    assert re.fullmatch(r"cian x: \d+ (s|min), peak memory \d+\.\d GiB \(without worker processes\)\n", said())


def test_an_error_of_mxnet_is_its_last_line():
    from cian.base.runtime import mx

    with pytest.raises(mx.MXNetError) as caught:
        mx.nd.zeros((2, 3)).reshape((5, 5)).asnumpy()
    assert "\n" in str(caught.value).strip() and "\n" not in describe(caught.value) and describe(caught.value)


def test_debug_shows_where_an_error_came_from(said, monkeypatch):
    monkeypatch.setenv("CIAN_LOG", "debug")
    assert run_tool(lambda argv: int("x"), [], "cian x") == 2
    told = said()
    assert "Traceback" in told and told.endswith("invalid literal for int() with base 10: 'x'\n")
    monkeypatch.setenv("CIAN_LOG", "loud")
    assert run_tool(lambda argv: 0, [], "cian x") == 2
    assert said().endswith("error: CIAN_LOG: 'loud', expected one of debug, info, warning\n")


def test_quiet_leaves_warnings_and_errors(said):
    def main(argv):
        Parser("cian x").parse_args(argv)
        logging.getLogger("cian.some").info("not said")
        logging.getLogger("cian.some").warning("said")

    assert run_tool(main, ["-q"], "cian x") == 0
    assert said() == "said\n"


def test_a_log_file_holds_what_was_said_with_the_time(said, tmp_path):
    def main(argv):
        messages.hush()
        messages.keep(tmp_path / "train.log")
        logging.getLogger("cian.some").info("written, not said")
        raise ValueError("wrong")

    for _ in range(2):
        assert run_tool(main, [], "cian x") == 2
    lines = (tmp_path / "train.log").read_text(encoding="utf-8").splitlines()
    assert [line.split(" ", 2)[2] for line in lines] == ["INFO written, not said", "ERROR error: wrong"] * 2
    messages.forget()
    assert not (tmp_path / "train.log").exists() and said() == "error: wrong\n" * 2


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion_knows_verbs_and_shown_options(shell, capsys):
    assert command.main(["--print-completion", shell]) == 0
    told = capsys.readouterr().out
    assert all(verb in told for verb in command.VERBS) and "--ignore-unassigned" in told and "--sheet-seed" not in told
    if shell == "bash":
        assert subprocess.run(["bash", "-n"], input=told, text=True).returncode == 0


def test_outside_the_environment_one_sentence_says_what_to_run(tmp_path):
    """-S leaves out all that is installed, and with it every package that cian needs."""
    for words in (["tools/doctor.py"], ["tools/train.py", "--help"], ["-m", "cian", "make-seeds"]):
        done = subprocess.run([sys.executable, "-S", "-E", *words], cwd=str(ROOT), capture_output=True, text=True)
        verb = "doctor" if "doctor" in words[0] else "train" if "train" in words[0] else "make_seeds"
        assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1
        assert done.stderr.startswith(f"error: this Python ({sys.executable}) has no ")
        assert done.stderr.endswith(f".venv/bin/python tools/{verb}.py\n")
