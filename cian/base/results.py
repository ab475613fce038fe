"""Numbers: the papers' (experiments/paper.csv), and ours, a line of JSON each in experiments/results/NAME/results.jsonl.

A measurement names the cell of a paper's table that it stands for (table, row, column), so that a report can put the two
side by side. Run names are made from the settings: the same settings are the same run, which is then never trained twice.
"""

import csv
import dataclasses
import hashlib
import json
import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, Iterable, List, Optional, Tuple, Union

from cian.base.files import read_text, write_text
from cian.base.locks import locked

RESULTS = "results.jsonl"
Cell = Tuple[str, str, str]  # table, row, column
PAPER_COLUMNS = ("table", "row", "column", "value", "unit")
#: of a line, in this order: what a reader compares first, the long settings last; those behind `commit` may be left out
LINE = ("table", "row", "column", "value", "unit", "seeds", "run", "commit", "date", "machine", "fingerprint", "settings")
REQUIRED = LINE[:8]
SINGLE_FILES = "*_*_*_*-????????.json"  # TABLE_ROW_COLUMN_RUN.json of versions before results.jsonl


@dataclass(frozen=True)
class Measurement:
    """One measured number.

    table, row, column: the cell, as in paper.csv. unit: "%", "M" (10^6), "G" (10^9), "s". run: name of the run that gave it
    (run_name). commit: of the code, None outside a git checkout. seeds: of the run, empty where nothing is random.
    settings: what the run was made with, plain JSON values. fingerprint: of the data set, None where there is none.
    date: of the run's start, `2026-11-27`; machine: its processor; None where they were not recorded.
    TypeError or ValueError name a field that is wrong.
    """

    table: str
    row: str
    column: str
    value: float
    unit: str
    run: str
    commit: Optional[str]
    seeds: Tuple[int, ...] = ()
    settings: Dict[str, Any] = field(default_factory=dict)
    fingerprint: Optional[str] = None
    date: Optional[str] = None
    machine: Optional[str] = None

    def __post_init__(self) -> None:
        for name in ("table", "row", "column", "unit", "run"):
            self._check(name, str)
            if not getattr(self, name):
                raise ValueError(f"{name}: empty, expected text")
        for name in ("commit", "fingerprint", "date", "machine"):
            self._check(name, str, type(None))
        self._check("value", int, float)
        if not math.isfinite(self.value):
            raise ValueError(f"value: {self.value}, expected a finite number")
        self._check("seeds", tuple)
        if not all(type(seed) is int for seed in self.seeds):
            raise TypeError(f"seeds: {self.seeds!r}, expected whole numbers")
        self._check("settings", dict)
        canonical(self.settings)

    def _check(self, name: str, *types: type) -> None:
        value = getattr(self, name)
        if type(value) not in types:
            raise TypeError(f"{name}: {value!r}, expected {' or '.join(t.__name__ for t in types)}")

    @property
    def cell(self) -> Cell:
        """(table, row, column), the key of read_paper."""
        return self.table, self.row, self.column

    @property
    def key(self) -> Tuple[str, str, str, str]:
        """(table, row, column, run): one number of a run has one line."""
        return (*self.cell, self.run)


def run_name(
    method: str, backbone: str, dataset: str, variant: str = "", settings: Optional[Dict[str, Any]] = None
) -> str:
    """METHOD_BACKBONE_DATASET[_VARIANT]-HASH: always the same for the same settings (plain JSON values), else another.

    The order of keys does not matter, nor whether a whole number is written 1 or 1.0, or a sequence is a list or a tuple.
    ValueError for a part that is empty or has other characters than letters, digits, dot, plus and minus.
    """
    parts = [method, backbone, dataset] + ([variant] if variant else [])
    for part in parts:
        if not re.match(r"^[A-Za-z0-9.+-]+$", part):
            raise ValueError(f"run name: {part!r}, expected letters, digits, '.', '+' and '-'")
    return "_".join(parts) + "-" + hashlib.sha256(canonical(settings or {}).encode("utf-8")).hexdigest()[:8]


def canonical(value: Any) -> str:
    """The one JSON text of plain values; TypeError or ValueError for what JSON cannot say, such as NaN or a path."""
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        wrong = [key for key in value if not isinstance(key, str)]
        if wrong:
            raise TypeError(f"settings: key {wrong[0]!r}, expected text")
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def natural(text: str) -> List[Tuple[float, str]]:
    """Sorting key of a text by which `k = 8` comes before `k = 10`."""
    parts = re.split(r"(\d+(?:\.\d+)?)", text)
    return [(float(part), "") if place % 2 else (0.0, part) for place, part in enumerate(parts)]


def write_results(folder: Union[str, Path], measurements: Iterable[Measurement]) -> Path:
    """Put measurements into FOLDER/results.jsonl, all of them or none, and return its path.

    A number that stands there already, of the same cell and run, keeps its line with the commit and date at which it was
    first measured; another value or other settings replace it. Lines are sorted, so that two versions differ by line. Several
    processes may write at a time. ValueError names a file or line that is wrong; nothing is written then.
    """
    folder, measurements = Path(folder), list(measurements)
    path = folder / RESULTS
    with locked(folder, lambda: None):  # the others' writing takes a moment
        refuse_single_files(folder)
        found = {one.key: one for one in _read_lines(path)} if path.exists() else {}
        kept = dict(found)
        for one in measurements:
            if one.key not in kept or _number(one) != _number(kept[one.key]):
                kept[one.key] = one
        if kept != found:
            write_text(path, "".join(line_of(kept[key]) + "\n" for key in sorted(kept, key=lambda key: [*map(natural, key)])))
    return path


def _number(measurement: Measurement) -> str:
    """What makes a measurement another number: all but when, where and by which code it was measured."""
    return canonical(dataclasses.asdict(dataclasses.replace(measurement, commit=None, date=None, machine=None)))


def line_of(measurement: Measurement) -> str:
    """The line of JSON of a measurement, without what it does not have."""
    values = {name: getattr(measurement, name) for name in LINE}
    return json.dumps({k: v for k, v in values.items() if k in REQUIRED or v}, ensure_ascii=False, allow_nan=False)


def refuse_single_files(folder: Union[str, Path]) -> None:
    """ValueError for a folder with a file a measurement, as earlier versions wrote them: their numbers would be passed over."""
    count = len(list(Path(folder).glob(SINGLE_FILES)))
    if count:
        raise ValueError(
            f"{folder}: {count} measurements in single files of an earlier version, expected {RESULTS}; move them away and run "
            "the table scripts again: finished runs are not repeated, their numbers are written anew"
        )


def read_results(folder: Union[str, Path]) -> List[Measurement]:
    """All measurements of FOLDER/results.jsonl, in its order.

    FileNotFoundError without such a file; ValueError names file and line of what is wrong.
    """
    path = Path(folder) / RESULTS
    if not Path(folder).is_dir():
        raise FileNotFoundError(f"{folder}: no such folder of results")
    refuse_single_files(folder)
    if not path.is_file():
        raise FileNotFoundError(f"{folder}: no measurements there, expected {RESULTS}")
    return _read_lines(path)


def _read_lines(path: Path) -> List[Measurement]:
    """The measurements of a file of lines."""
    found = {}
    for number, line in enumerate(read_text(path).splitlines(), 1):
        try:
            one = _measurement(line)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path}, line {number}: {error}") from None
        if one.key in found:
            raise ValueError(f"{path}, line {number}: {', '.join(one.key)}: stands there twice")
        found[one.key] = one
    return list(found.values())


def _measurement(line: str) -> Measurement:
    """The Measurement of a line; TypeError or ValueError say what is wrong with it."""
    try:
        values = json.loads(line)
    except ValueError as error:
        raise ValueError(f"not valid JSON ({error})") from None
    if not isinstance(values, dict):
        raise ValueError(f"expected an object, found {type(values).__name__}")
    missing, unknown = sorted({*REQUIRED} - {*values}), sorted({*values} - {*LINE})
    if missing or unknown:
        raise ValueError(f"missing {', '.join(missing) or 'nothing'}; unknown {', '.join(unknown) or 'nothing'}")
    if isinstance(values["seeds"], list):
        values["seeds"] = tuple(values["seeds"])
    return Measurement(**values)


def read_paper(path: Union[str, Path]) -> Dict[Cell, Tuple[float, str]]:
    """{(table, row, column): (value, unit)} of paper.csv; ValueError names file and line of what is wrong."""
    numbers: Dict[Cell, Tuple[float, str]] = {}
    reader = csv.reader(read_text(path).splitlines(keepends=True))
    try:
        for line in reader:
            where = f"{path}, line {reader.line_num}"
            if reader.line_num == 1:
                if tuple(line) != PAPER_COLUMNS:
                    raise ValueError(f"{where}: columns {','.join(line)}, expected {','.join(PAPER_COLUMNS)}")
                continue
            if len(line) != len(PAPER_COLUMNS) or not all(line):
                raise ValueError(f"{where}: {line}, expected {len(PAPER_COLUMNS)} cells that are not empty")
            table, row, column, value, unit = line
            if (table, row, column) in numbers:
                raise ValueError(f"{where}: {[table, row, column]} stands there twice")
            if not re.match(r"^\d+(\.\d+)?$", value):
                raise ValueError(f"{where}: value {value!r}, expected a decimal number")
            numbers[table, row, column] = float(value), unit
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: {error}") from None
    return numbers
