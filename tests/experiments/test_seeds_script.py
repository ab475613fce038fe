"""experiments/seeds.sh: wrong options end at once, with one line, before any set-up; its calls fit the tools."""

import re
import subprocess

import pytest
from scripts import module_of
from small_training import ROOT

SCRIPT = ROOT / "experiments" / "seeds.sh"


@pytest.mark.parametrize("words, message", [
    (["--preset", "coco"], "seeds: --preset coco, expected voc12, animals or scenes"),
    (["--preset", "animals"], "seeds: --preset animals needs --data, a data set in VOC layout"),
    (["--cams", "x"], "seeds: unknown option --cams; see --help"),
    (["--data"], "seeds: --data needs a value"),
])  # fmt: skip
def test_wrong_options(words, message):
    result = subprocess.run(["bash", str(SCRIPT), *words], capture_output=True, text=True)
    assert (result.returncode, result.stderr, result.stdout) == (2, message + "\n", "")


def test_the_tools_know_the_options_of_the_calls(capsys):
    text = SCRIPT.read_text(encoding="utf-8").replace("\\\n", " ")
    calls = re.findall(r"^ *tool (train_cam|make_seeds|evaluate|report) (.*)$", text, re.MULTILINE)
    assert len(calls) == 5
    for name, words in calls:
        with pytest.raises(SystemExit):
            module_of(name).parse_args(["--help"])
        known = set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
        assert set(re.findall(r"(?<!\S)--[a-z-]+", words)) <= known, name
