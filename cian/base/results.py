"""Numbers: the papers' (experiments/paper.csv), and ours, one JSON a measurement under experiments/results/.

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
from typing import Dict, Optional, Tuple

from cian.base.files import read_json, write_json

PAPER_COLUMNS = ("table", "row", "column", "value", "unit")


@dataclass(frozen=True)
class Measurement:
    """One measured number.

    table, row, column: the cell, as in paper.csv. unit: "%", "M" (10^6), "G" (10^9), "s". run: name of the run that gave it
    (run_name). commit: of the code, None outside a git checkout. seeds: of the run, empty where nothing is random.
    settings: what the run was made with, plain JSON values. fingerprint: of the data set, None where there is none.
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
    settings: Dict = field(default_factory=dict)
    fingerprint: Optional[str] = None

    def __post_init__(self):
        for name in ("table", "row", "column", "unit", "run"):
            self._check(name, str)
            if not getattr(self, name):
                raise ValueError(f"{name}: empty, expected text")
        for name in ("commit", "fingerprint"):
            self._check(name, str, type(None))
        self._check("value", int, float)
        if not math.isfinite(self.value):
            raise ValueError(f"value: {self.value}, expected a finite number")
        self._check("seeds", tuple)
        if not all(type(seed) is int for seed in self.seeds):
            raise TypeError(f"seeds: {self.seeds!r}, expected whole numbers")
        self._check("settings", dict)
        canonical(self.settings)

    def _check(self, name, *types):
        value = getattr(self, name)
        if type(value) not in types:
            raise TypeError(f"{name}: {value!r}, expected {' or '.join(t.__name__ for t in types)}")

    @property
    def cell(self):
        """(table, row, column), the key of read_paper."""
        return self.table, self.row, self.column


def run_name(method, backbone, dataset, variant="", settings=None):
    """METHOD_BACKBONE_DATASET[_VARIANT]-HASH: always the same for the same settings (plain JSON values), else another.

    The order of keys does not matter, nor whether a whole number is written 1 or 1.0, or a sequence is a list or a tuple.
    ValueError for a part that is empty or has other characters than letters, digits, dot, plus and minus.
    """
    parts = [method, backbone, dataset] + ([variant] if variant else [])
    for part in parts:
        if not re.match(r"^[A-Za-z0-9.+-]+$", part):
            raise ValueError(f"run name: {part!r}, expected letters, digits, '.', '+' and '-'")
    return "_".join(parts) + "-" + hashlib.sha256(canonical(settings or {}).encode("utf-8")).hexdigest()[:8]


def canonical(value):
    """The one JSON text of plain values; TypeError or ValueError for what JSON cannot say, such as NaN or a path."""
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), allow_nan=False)


def _plain(value):
    if isinstance(value, dict):
        wrong = [key for key in value if not isinstance(key, str)]
        if wrong:
            raise TypeError(f"settings: key {wrong[0]!r}, expected text")
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def result_path(folder, measurement):
    """FOLDER/TABLE_ROW_COLUMN_RUN.json, the names in small letters with `-` for what does not fit a file name."""
    names = [re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-") for text in measurement.cell]
    return Path(folder) / ("_".join(names + [measurement.run]) + ".json")


def write_result(folder, measurement):
    """Write a measurement to its result_path and return that.

    A file with the same number stays as it is, with the commit at which it was first measured. ValueError if the path
    already belongs to another cell.
    """
    path = result_path(folder, measurement)
    if path.exists():
        found = read_result(path)
        if found.cell != measurement.cell:
            raise ValueError(f"{path}: holds {found.cell}, which has the same file name as {measurement.cell}")
        same = dataclasses.replace(measurement, commit=found.commit)
        if canonical(dataclasses.asdict(same)) == canonical(dataclasses.asdict(found)):
            return path
    write_json(path, dataclasses.asdict(measurement))
    return path


def read_result(path):
    """The Measurement of a JSON file; ValueError names the file and what is wrong with it."""
    values = read_json(path)
    if not isinstance(values, dict):
        raise ValueError(f"{path}: expected an object, found {type(values).__name__}")
    known = {item.name for item in dataclasses.fields(Measurement)}
    missing, unknown = sorted({*known} - {"settings", "fingerprint"} - {*values}), sorted({*values} - known)
    if missing or unknown:
        raise ValueError(f"{path}: missing {', '.join(missing) or 'nothing'}; unknown {', '.join(unknown) or 'nothing'}")
    if isinstance(values["seeds"], list):
        values["seeds"] = tuple(values["seeds"])
    try:
        return Measurement(**values)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from None


def read_results(folder):
    """All measurements of a folder's *.json, by file name; FileNotFoundError if there is no such folder."""
    if not Path(folder).is_dir():
        raise FileNotFoundError(f"{folder}: no such folder of results")
    return [read_result(path) for path in sorted(Path(folder).glob("*.json"))]


def read_paper(path):
    """{(table, row, column): (value, unit)} of paper.csv; ValueError names file and line of what is wrong."""
    numbers = {}
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.reader(file)
        for line in reader:
            where = f"{path}, line {reader.line_num}"
            if reader.line_num == 1:
                if tuple(line) != PAPER_COLUMNS:
                    raise ValueError(f"{where}: columns {','.join(line)}, expected {','.join(PAPER_COLUMNS)}")
                continue
            if len(line) != len(PAPER_COLUMNS) or not all(line):
                raise ValueError(f"{where}: {line}, expected {len(PAPER_COLUMNS)} cells that are not empty")
            *cell, value, unit = line
            if tuple(cell) in numbers:
                raise ValueError(f"{where}: {cell} stands there twice")
            if not re.match(r"^\d+(\.\d+)?$", value):
                raise ValueError(f"{where}: value {value!r}, expected a decimal number")
            numbers[tuple(cell)] = float(value), unit
    return numbers
