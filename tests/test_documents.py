"""Every page: its commands fit the programs, its links lead somewhere, its tables are those of the committed results.

A command in a fence ```bash needs nothing but the repository, and a test runs it (RUN, or here); one that needs a data set,
weights, a GPU or another program stands in a fence ```bash data, which is not run. The options of both are read by the verbs.
"""

import argparse
import ast
import importlib
import re

import pytest
from documents import FENCE, ROOT, anchors, commands, fences, inline_commands, links, pages, slug
from scripts import module_of

from cian import __main__ as command

PAGES = pages()
TEXTS = {name: (ROOT / name).read_text(encoding="utf-8") for name in PAGES}
SHELL = ("bash", "sh", "shell")
FENCES = [(name, fence) for name in PAGES for fence in fences(TEXTS[name])]
COMMANDS = [(f"{name}:{fence.line}", " ".join(words), words, "data" in fence.marks)
            for name, fence in FENCES if fence.language in SHELL for words in commands(fence.text)]  # fmt: skip
#: programs that are not ours, for fences that are marked
OTHERS = ("cat", "cd", "docker", "grep", "ls", "sbatch", "sed", "unzip", "wc")
#: command of an unmarked fence -> the test that runs it, or what it consists of; None: it runs these tests
RUN = {
    "git clone URL cian": None,
    "cd cian": None,
    "bash tests/run.sh": None,
    "bash experiments/quickstart.sh": "experiments/test_main_job.py::test_the_summary_shows_what_was_measured",
    "bash experiments/quickstart.sh --help": "experiments/test_common_script.py::test_help_installs_and_writes_nothing",
    ".venv/bin/python experiments/tutorial.py": "experiments/test_tutorial.py::test_all_cells_run_and_draw",
    "bash experiments/table1.sh": "evaluation/test_complexity.py::test_table_1_exactly_and_within_half_a_per_cent_of_the_paper",
    "bash experiments/table2.sh --dry-run": "experiments/test_tables.py::test_dry_run_prints_the_commands_and_does_nothing",
    "bash experiments/all.sh": "experiments/test_tables.py::test_the_scripts_are_sound",
    "bash experiments/comnet.sh": "experiments/test_comnet_tables.py::test_the_tools_know_every_command",
    "cian doctor": "base/test_doctor.py::test_nothing_named_is_nothing_missing",
    "cian prepare_data scenes --output runs/data/scenes": "data/test_prepare_data.py::test_scenes_pass_their_own_check",
    "cian prepare_data check --data runs/data/scenes --list train_aug":
        "data/test_prepare_data.py::test_scenes_pass_their_own_check",
    "cian report --results experiments/results/animals --output runs/report_animals":
        "report/test_committed.py::test_the_committed_report_is_what_the_command_gives",
    ".venv/bin/python experiments/glance.py": "test_documents.py::test_tables_of_pages_are_those_of_the_results",
}  # fmt: skip


def program_of(words):
    """("verb", its words), ("script", ...), ("python", ...), ("pytest", ...) or ("other", ...)."""
    first, rest = words[0], words[1:]
    if first in ("cian", ".venv/bin/cian"):
        return "verb", rest
    if first in ("python", ".venv/bin/python"):
        if rest[:2] == ["-m", "cian"]:
            return "verb", rest[2:]
        if rest[:2] == ["-m", "pytest"]:
            return "pytest", rest[2:]
        if rest[0].startswith("tools/"):
            return "verb", [rest[0][len("tools/") : -len(".py")], *rest[1:]]
        return "python", rest
    return ("script", rest) if first == "bash" else ("other", words)


def fault_of_verb(words):
    """What is wrong with `cian WORDS`, by the verb's own parser; None if nothing is."""
    verb = words[0].replace("-", "_")
    if words[0].startswith("--"):
        return None if words[0] in ("--help", "--version", "--print-completion") else f"no option {words[0]}"
    if verb not in command.VERBS:
        return f"no verb {words[0]}"
    if "--help" in words:
        return None
    words = words[1:]
    if "--" in words:  # launch: the command of the workers
        place = words.index("--")
        kind, worker = program_of(words[place + 1 :])
        fault = fault_of_verb(worker) if kind == "verb" else f"launches {worker}"
        if fault:
            return fault
    try:
        importlib.import_module(f"cian.commands.{verb}").make_parser().parse_args(words)
    except (SystemExit, ValueError) as error:
        return f"refused: {error}"
    return None


def fault_of_file(words):
    """What is wrong with a script or program of the repository: it is not there, or it does not know an option."""
    path = ROOT / words[0]
    if not path.is_file():
        return f"no file {words[0]}"
    text = path.read_text(encoding="utf-8")
    if "tables" in text:
        others = ("common.sh", "plan.py", "tables.py", "comnet_tables.py")
        text += "".join((ROOT / "experiments" / name).read_text(encoding="utf-8") for name in others)
    known = {*re.findall(r"--[a-z][a-z-]*", text), "--help"}
    unknown = [word for word in words[1:] if word.startswith("--") and word not in known]
    return f"unknown option {unknown[0]}" if unknown and words[0] != "tests/run.sh" else None


@pytest.mark.parametrize("where, text, words, marked", COMMANDS, ids=[f"{where} {text[:40]}" for where, text, _, _ in COMMANDS])
def test_commands_fit_the_programs(where, text, words, marked, capsys):
    kind, rest = program_of(words)
    if kind == "verb":
        assert fault_of_verb(rest) is None, capsys.readouterr().err
    elif kind in ("script", "python"):
        assert fault_of_file(rest) is None
    elif kind == "pytest":
        assert [word for word in rest if "/" in word and not (ROOT / word.split("::")[0]).exists()] == []
    else:
        assert text in RUN or (marked and words[0] in OTHERS), f"{text}: mark the fence as ```bash data"


def options_of(verb):
    """All options of a verb and of its parts."""
    parsers = [importlib.import_module(f"cian.commands.{verb}").make_parser()]
    for action in parsers[0]._actions:
        parsers += [action.choices[name] for name in action.choices] if isinstance(action, argparse._SubParsersAction) else []
    return {name for parser in parsers for action in parser._actions for name in action.option_strings}


@pytest.mark.parametrize("name", PAGES)
def test_commands_within_the_text_have_their_verb_and_options(name):
    wrong = []
    for words in inline_commands(TEXTS[name]):
        kind, rest = program_of(words)
        if kind == "script":
            fault = fault_of_file(rest)
        else:
            known = options_of(rest[0]) if rest[0] in command.VERBS else None
            unknown = [word for word in rest if known is not None and word.startswith("--") and word not in {*known, "--"}]
            fault = f"no verb {rest[0]}" if known is None else f"unknown {unknown}" if unknown else None
        wrong += [f"{' '.join(words)}: {fault}"] if fault else []
    assert wrong == []


def test_unmarked_commands_are_run_by_a_test():
    shown = {text for _, text, _, marked in COMMANDS if not marked}
    tests = ("bash tests/run.sh ", ".venv/bin/python -m pytest ")
    unknown = {text for text in shown if text not in RUN and not is_run_here(text) and not text.startswith(tests)}
    assert sorted(unknown) == [] and sorted(set(RUN) - shown) == []
    for text, test in RUN.items():
        if test is not None:
            name, _, function = test.partition("::")
            assert f"def {function}(" in (ROOT / "tests" / name).read_text(encoding="utf-8"), (text, test)


def test_every_verb_has_an_example():
    words = [program_of(words) for where, _, words, _ in COMMANDS if where.startswith("tools/README.md")]
    assert {rest[0] for kind, rest in words if kind == "verb"} >= set(command.VERBS)


def is_run_here(text):
    """Is it a command that only tells something?"""
    return re.fullmatch(r"cian (\w+ )?--help|cian --version|cian --print-completion (bash|zsh|tcsh)|cian weights list.*", text)


@pytest.mark.parametrize("text", sorted({text for _, text, _, marked in COMMANDS if not marked and is_run_here(text)}))
def test_commands_that_only_tell(text, capsys):
    try:
        status = command.main(text.split()[1:])
    except SystemExit as error:
        status = error.code
    assert not status and len(capsys.readouterr().out) > 5


@pytest.mark.parametrize("name, fence", [(name, fence) for name, fence in FENCES if fence.language == "python"])
def test_python_in_pages_can_be_read_and_imports_what_is_there(name, fence):
    for node in ast.walk(ast.parse(fence.text)):
        if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "cian":
            module = importlib.import_module(node.module)
            assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name):
    wrong = []
    for target in links(TEXTS[name]):
        if re.match(r"https?://[\w.-]+(/|$)", target):
            continue
        path, _, anchor = target.partition("#")
        file = (ROOT / name).parent / path if path else ROOT / name
        if not file.exists() or ROOT not in (file.resolve(), *file.resolve().parents):
            wrong.append(f"{target}: not there")
        elif anchor and (file.suffix != ".md" or anchor not in anchors(file.read_text(encoding="utf-8"))):
            wrong.append(f"{target}: no such heading")
    assert wrong == []


@pytest.mark.parametrize("name", PAGES)
def test_modules_that_are_named_are_there(name):
    """`models/affinity.py: Affinity` names a file, from the root, the page's folder or cian/, and something in it."""
    wrong = []
    for path, inside in re.findall(r"`([\w./-]+/[\w-]+\.(?:py|sh|json|csv|md))(?:: (\w+)[^`]*)?`", FENCE.sub("", TEXTS[name])):
        places = (ROOT, (ROOT / name).parent, ROOT / "cian", ROOT / "tests")
        file = next((place / path for place in places if (place / path).is_file()), None)
        if file is None and not re.match(r"runs/|[^.]*[A-Z]{3}", path):  # of a user, or a name that stands for many
            wrong.append(path)
        elif inside and inside not in file.read_text(encoding="utf-8"):
            wrong.append(f"{path}: {inside}")
    assert wrong == []


@pytest.mark.parametrize("heading, expected", [
    ("Data", "data"), ("IRN's words", "irns-words"), ("I want to ...", "i-want-to-"), ("CIAN 1: a − b", "cian-1-a--b"),
    ("`cian` and [links](x.md)", "cian-and-links"), ("Über_uns", "über_uns"),
])  # fmt: skip
def test_anchors_as_github_makes_them(heading, expected):
    assert slug(heading) == expected
    assert anchors(f"# {heading}\n\n## {heading}\n```\n# no heading\n```\n") == {expected, f"{expected}-1"}


@pytest.mark.parametrize("line, expected", [
    ("a --b c  # d", [["a", "--b", "c"]]), ("X=1 a && b | c", [["a"], ["b"], ["c"]]), ("exec a > b", [["a"]]),
    ("a \\\n  'b c'", [["a", "b c"]]), ("a -- b X=1", [["a", "--", "b", "X=1"]])])  # fmt: skip
def test_commands_are_found(line, expected):
    assert commands(line) == expected
    assert inline_commands("Say `cian train\n--dtaa x`, `bash a/b.sh`, not `cian` or `train`.\n") == [
        ["cian", "train", "--dtaa", "x"], ["bash", "a/b.sh"]]  # fmt: skip


@pytest.mark.parametrize("words, fault", [
    (["train", "--data", "ROOT"], "refused"), (["trian"], "no verb"), (["predict", "--fit", "x"], "refused"),
    (["launch", "-n", "2", "--", "cian", "train", "--dtaa", "x"], "refused"), (["--verson"], "no option")])  # fmt: skip
def test_wrong_commands_are_found(words, fault):
    assert fault_of_verb(words).startswith(fault)


def test_wrong_scripts_are_found():
    assert fault_of_file(["experiments/table9.sh"]) == "no file experiments/table9.sh"
    assert fault_of_file(["experiments/table2.sh", "--random-sed", "0"]) == "unknown option --random-sed"


def test_the_first_page_fits_a_screen_or_two():
    lines = TEXTS["README.md"].rstrip("\n").split("\n")
    assert len(lines) <= 120 and [line for line in lines if len(line) > 100] == []


def test_tables_of_pages_are_those_of_the_results(capsys):
    glance = module_of("glance", "experiments")
    assert glance.main(["--check"]) == 0, f"run experiments/glance.py: {capsys.readouterr().out}"


@pytest.mark.parametrize("column, report", [(2, "animals"), (3, "scenes")])
def test_the_numbers_of_the_first_page_are_those_of_the_reports(column, report):
    """Each cell rounds what the committed report says of the same difference."""
    labels = list(module_of("glance", "experiments").ROWS)
    table = TEXTS["README.md"].split("<!-- measured")[1].splitlines()[3:]
    text = TEXTS[f"experiments/results/{report}/REPORT.md"].replace("\N{NO-BREAK SPACE}", " ").replace("−", "-")
    numbers = re.compile(r"[+-]?\d+\.\d+")
    for label, line in zip(labels, table):
        rows = [row for row in text.splitlines() if row.split(" | ")[0].endswith(f": {label.replace('−', '-')}")]
        shown = [float(word) for word in numbers.findall(line.split("|")[column + 1].replace("−", "-"))]
        cells = rows[0].split(" | ") if rows else ["", "", ""]
        expected = [float(word) for cell in cells[2:4] for word in numbers.findall(cell)]
        assert shown == pytest.approx(expected, abs=0.0501) and len(shown) in ((1, 3) if rows else (0,)), label
        assert ("**" in line.split("|")[column + 1]) == cells[1].startswith(("larger", "smaller")), label
