"""cian/FIDELITY.md: every row that is cited is there, every row has tests, and they exist."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TABLE = (ROOT / "cian" / "FIDELITY.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| (C?\d+a?) \|", flags=re.MULTILINE)
ROWS, HELD = (ROW.findall(part) for part in TABLE.split("\n## The tests\n"))
CITED = re.compile(r"FIDELITY(?:\.md)?\s+rows?\s+(\d+a?)(?:(-| and )(\d+a?))?|rows?\s+(\d+a?)\s+of\s+FIDELITY")


def cited_rows(text):
    """Numbers of the rows that a text cites: "FIDELITY row 4", "rows 22 and 23", "rows 22-25", "row 13 of FIDELITY.md"."""
    rows = []
    for first, between, last, alone in CITED.findall(text):
        rows.append(first or alone)
        rows += [str(row) for row in range(int(first) + 1, int(last))] if between == "-" else []
        rows += [last] if last else []
    return rows


def names_by_file():
    """{file name: names of its tests}; file names are unique."""
    found = {}
    for path in (ROOT / "tests").rglob("test_*.py"):
        assert path.name not in found, f"two files called {path.name}"
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found[path.name] = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    return found


def test_citations_are_read():
    assert cited_rows("(FIDELITY row 4) (FIDELITY.md row 24) FIDELITY row 12a") == ["4", "24", "12a"]
    assert cited_rows("FIDELITY rows 22-25, FIDELITY rows 6 and 8") == ["22", "23", "24", "25", "6", "8"]
    assert cited_rows("row 13 of FIDELITY.md") == ["13"]


def test_every_cited_row_is_there():
    assert len(set(ROWS)) == len(ROWS)
    assert set(ROWS) == {str(n) for n in range(1, 35)} | {"12a"} | {f"C{n}" for n in range(1, 19)}
    cited = 0
    for path in [*(ROOT / "cian").rglob("*.py"), *(ROOT / "tests").rglob("*.py")]:
        if path != Path(__file__).resolve():
            rows = cited_rows(path.read_text(encoding="utf-8"))
            assert set(rows) <= set(ROWS), path
            cited += len(rows)
    assert cited > 10


def test_every_row_names_tests_that_exist():
    tests = names_by_file()
    assert HELD == ROWS
    for line in TABLE.splitlines():
        named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", line)
        assert all(name in tests.get(file, ()) for file, name in named), line
    for line in TABLE.split("\n## The tests\n")[1].splitlines():
        assert not ROW.match(line) or "::test_" in line or "still to come" in line, f"{line}: names no test"
