"""experiments/common.sh: the functions that quickstart.sh and seeds.sh share, and the help of both."""

import argparse
import re
import shutil
import subprocess

import pytest
from small_training import ROOT
from table_scripts import comnet_tables, plan_module, tables

COMMON = ROOT / "experiments" / "common.sh"


def bash(lines, folder, status=0):
    """Standard output of a script that sources common.sh; what it says on standard error where it has to fail."""
    text = f'set -euo pipefail\nscript=name\nsource "{COMMON}"\n{lines}\n'
    result = subprocess.run(["bash", "-c", text], cwd=str(folder), capture_output=True, text=True)
    assert result.returncode == status, result.stderr
    return result.stderr if status else result.stdout


def test_root_is_the_repository_from_any_folder(tmp_path):
    assert bash('echo "$root"', tmp_path) == f"{ROOT}\n"


@pytest.mark.parametrize("name, expected", [
    ("a b/c", "{here}/a b/c"), ("/a", "/a"), ("", ""), ("random", "random"), ("gluoncv:vgg16", "gluoncv:vgg16"),
    ("timm:vgg16.tv_in1k", "timm:vgg16.tv_in1k"), ("imagenet", "imagenet"),
])  # fmt: skip
def test_paths_become_absolute_and_names_of_weights_stay(tmp_path, name, expected):
    assert bash(f'absolute "{name}"', tmp_path) == expected.format(here=tmp_path)


def test_options_set_variables(tmp_path):
    assert bash('take_option --val-list "a b" --more; echo "$val_list"', tmp_path) == "a b\n"
    assert bash("take_option --val-list", tmp_path, status=2) == "name: --val-list needs a value\n"
    words = 'for words in "" "a b"; do given on --devices "$words"; printf "%s:" "${#on[@]}" "${on[@]}"; done'
    assert bash(words, tmp_path) == "0:2:--devices:a b:"


@pytest.mark.parametrize("words, expected", [
    ("", "a: b:no"), ("--some-a 'x y' --b --some-a z", "a:z b:yes"), ("--b", "a: b:yes"), ("--some-a --b", "a:--b b:no"),
])  # fmt: skip
def test_options_and_switches_are_read(tmp_path, words, expected):
    lines = f'some_a="" b=no; read_options "--some-a|--other" --b {words}; echo "a:$some_a b:$b"'
    assert bash(lines, tmp_path) == expected + "\n"


@pytest.mark.parametrize("word", ["--c", "''", "'--some-a --other'", "some-a", "'--some-a|--other'"])
@pytest.mark.parametrize("switches", ["--b", "''"])
def test_unknown_options(tmp_path, word, switches):
    message = bash(f'read_options "--some-a|--other" {switches} {word} x', tmp_path, status=2)
    assert message == f"name: unknown option {word.strip(chr(39))}; see --help\n"


@pytest.mark.parametrize("given, expected", [
    ("", "scenes resnet10 resnet10 -"), ("data=x", "voc12 resnet101 vgg16 -"),
    ("data=x backbone=b classes=c", "voc12 b vgg16 c"), ("data=x preset=scenes cam_backbone=b", "scenes resnet10 b -"),
    ("data=x preset=animals", "animals squeezenet1.1 squeezenet1.1 background,cat,cow,dog,horse,person,sheep"),
])  # fmt: skip
def test_the_preset_fills_in_what_is_not_given(tmp_path, given, expected):
    lines = f'preset="" data="" backbone="" cam_backbone="" classes="" {given}; choose_preset'
    assert bash(lines + '; echo "$preset $backbone $cam_backbone ${classes:--}"', tmp_path) == expected + "\n"


def test_the_newest_checkpoint(tmp_path):
    for name in ("cian_x-0002.params", "cian_x-0010.params", "cian_x-final.params", "resume.npz"):
        (tmp_path / name).write_text("")
    assert bash("last .", tmp_path) == "./cian_x-0010.params\n"


def test_scenes_are_generated_where_no_data_is_given(tmp_path):
    fake = 'tool() { printf "%s " "$@"; mkdir -p "${@: -1}/SegmentationClassAug"; }; root="$PWD"; data=""; find_data'
    told = bash(fake + '; echo; echo "$masks $lists"', tmp_path).splitlines()
    data = f"{tmp_path}/runs/data/scenes"
    assert told[1:] == ["== scenes: a generated data set", f"prepare_data scenes --output {data} ",
                        f"{data}/SegmentationClassAug {data}/ImageSets/Segmentation"]  # fmt: skip
    assert bash('data="$PWD"; find_data; echo "$masks"', tmp_path) == f"{tmp_path}/SegmentationClass\n"


@pytest.mark.parametrize("name", sorted({path.stem for path in (ROOT / "experiments").glob("*.sh")} - {"common"}))
def test_help_installs_and_writes_nothing(tmp_path, name):
    """In a copy of the scripts alone, where neither an environment nor a Python is."""
    shutil.copytree(str(ROOT / "experiments"), str(tmp_path / "experiments"), ignore=shutil.ignore_patterns("results", "*.py*"))
    before = sorted(tmp_path.rglob("*"))
    command = ["bash", str(tmp_path / "experiments" / f"{name}.sh"), "--help"]
    done = subprocess.run(command, env={"PATH": "/usr/bin:/bin"}, cwd=str(tmp_path), capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == "" and len(done.stdout.splitlines()) > 4
    assert sorted(tmp_path.rglob("*")) == before


def test_help_of_the_table_scripts_names_all_options(tmp_path, capsys):
    """First those of all, then those of some scripts: each part names in its first columns what the programs know."""
    parts = re.split(r"^ of .*\n", bash("table_options", tmp_path), flags=re.MULTILINE)
    told = [{name for line in part.splitlines() for name in re.findall(r"--[a-z-]+", line[:32])} for part in parts]
    parser = argparse.ArgumentParser()
    plan_module.add_options(parser, "0", "")
    common = {name for action in parser._actions for name in action.option_strings} - {"-h", "--help"}
    assert told[0] == common and len(told) == 4
    for script, own in ((tables, told[1] | told[2]), (comnet_tables, told[3])):
        with pytest.raises(SystemExit):
            script.parse_args(["--help"])
        known = set(re.findall(r"^  (?:-., )?(--[a-z-]+)", capsys.readouterr().out, re.MULTILINE))
        assert known - common - {"--help", "--quiet", "--version"} == own


@pytest.mark.parametrize("name", ["quickstart", "seeds"])
def test_help_is_the_comment_at_the_top_and_names_every_option(tmp_path, name):
    script = ROOT / "experiments" / f"{name}.sh"
    told = subprocess.run(["bash", str(script), "--help"], cwd=str(tmp_path), capture_output=True, text=True, check=True).stdout
    comment = re.match(r"#!.*\n((?:#.*\n)+)", script.read_text(encoding="utf-8")).group(1)
    assert told == re.sub(r"^# ", "", comment, flags=re.MULTILINE) and told.endswith("goes on where it was.\n")
    lists = re.findall(r'^options\+?="(.*)"$', script.read_text(encoding="utf-8"), re.MULTILINE)
    options = "".join(lists).split("|")
    assert len(options) > 10 and set(options) <= set(re.findall(r"--[a-z-]+", told))
