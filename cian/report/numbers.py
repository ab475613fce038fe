"""Measurements sorted into the cells of the papers' tables: seeds pooled per cell, and what does not fit.

A cell is (row, column) of one table on one data set. Numbers of different data sets are never pooled; a number that has no
cell, another unit, or a rival for its seed is kept apart under `further` with the reason, never dropped.
"""

import math
import re
import statistics
from dataclasses import dataclass, field
from typing import Dict, List, NamedTuple, Optional, Tuple

from scipy import stats

from cian.base.results import Measurement
from cian.report.agreement import ONE_SETTING, check_backbones, check_settings
from cian.scenes.generate import CLASSES as SCENE_CLASSES

VOC = ("voc12", "voc2012")  # names of the papers' data set, in small letters
PAPER_DATA = {"COMNet VII": ("coco", "coco14", "coco2014")}  # tables on another one
PAPER_PRESETS = (None, "voc12", "coco")
#: COCO val 2014, and those of it with objects; VOC 2012 train for class activation and walk, on which IRN and COMNet score them
PAPER_IMAGES = {"COMNet VII": (40504, 40137), **{f"COMNet {table}": (1464,) for table in ("I", "II", "III", "IV", "V")}}
VOC_IMAGES = (1449, 1456)  # VOC 2012 val and test
CLASS_TABLE = "CIAN 2"  # the one with a column for each class
OWN_ROW = re.compile(r"^CIAN \(.+\), L\.$")  # of CIAN 5
WITHOUT_CRF = ", no CRF"  # end of the names of columns that the papers do not have
WITHOUT_CRF_IN_TABLE_4 = {"Baseline": "baseline", "+ CP": "ours"}  # rows of Table 2 -> end of Table 4's columns
NOT_IN_PAPER = "no such cell in the paper"
PAPER_BACKBONE = "ResNet101"
BACKBONE_COLUMN = re.compile(r"^(.+) (baseline|ours)$")  # of CIAN 4


@dataclass(frozen=True)
class Spread:
    """Some values: their mean, sample standard deviation and interval (None for fewer than two) and number."""

    values: Tuple[float, ...]

    @property
    def mean(self):
        return statistics.mean(self.values)

    @property
    def sd(self):
        return statistics.stdev(self.values) if len(self.values) > 1 else None

    @property
    def interval(self):
        """(low, high), in which the mean of endlessly many such values lies with 95 % confidence: Student's t, n - 1."""
        if self.n < 2:
            return None
        half = float(stats.t.ppf(0.975, self.n - 1)) * self.sd / math.sqrt(self.n)
        return self.mean - half, self.mean + half

    @property
    def n(self):
        return len(self.values)


class Sample(NamedTuple):
    """The measurements of one cell, one a seed, seeds ascending."""

    measurements: Tuple[Measurement, ...]

    @property
    def spread(self):
        return Spread(tuple(found.value for found in self.measurements))

    @property
    def by_seed(self):
        """{seeds: value}; the key is () where nothing is random."""
        return {found.seeds: found.value for found in self.measurements}


@dataclass
class TableResults:
    """What was measured for one table on one data set (None: no data needed)."""

    table: str
    data: Optional[str]
    cells: Dict[Tuple[str, str], Sample] = field(default_factory=dict)
    further: List[Tuple[Sample, str]] = field(default_factory=list)  # with the reason
    warnings: List[str] = field(default_factory=list)
    measurements: Tuple[Measurement, ...] = ()

    @property
    def comparable(self):
        """Are the levels the paper's, that is: measured on its data set?"""
        return all(map(is_published, self.measurements))


def data_name(measurement):
    """Name of the data set of a measurement, with a preset that is not the data set's; None where no data were needed."""
    settings = measurement.settings
    dataset, preset = settings.get("dataset"), settings.get("preset")
    if dataset is None and preset is None:
        return None if measurement.fingerprint is None else "a data set without a name"
    name = str(dataset if dataset is not None else preset)
    return name if preset in PAPER_PRESETS or preset == name else f"{name} (preset {preset})"


def is_published(measurement):
    """Was this measured on the paper's data set, or on none? The number of images tells, where it is given, else the name."""
    name, table = data_name(measurement), measurement.table
    if name is None:
        return True
    if "images" in measurement.settings and measurement.settings.get("preset") in PAPER_PRESETS:
        return measurement.settings["images"] in PAPER_IMAGES.get(table, VOC_IMAGES)
    return name.lower() in PAPER_DATA.get(table, VOC)


def collect(measurements, paper):
    """One TableResults for each table and data set, in the paper's order; paper: as `read_paper` gives it."""
    groups = {}
    for found in measurements:
        groups.setdefault((found.table, data_name(found)), []).append(found)
    order = {table: number for number, table in enumerate(dict.fromkeys(table for table, _, _ in paper))}
    keys = sorted(groups, key=lambda key: (order.get(key[0], len(order)), key[0], key[1] or ""))
    tables = [pool(table, data, groups[table, data], paper) for table, data in keys]
    for results in tables:
        if results.table == "CIAN 2":
            take_without_crf(results, [other for other in tables if (other.table, other.data) == ("CIAN 4", results.data)])
    return tables


def take_without_crf(results, others):
    """Table 2's numbers without CRF, where they were not written for it, from Table 4's of the same runs."""
    for row, kind in WITHOUT_CRF_IN_TABLE_4.items():
        wanted = results.cells.get((row, "mIoU"))
        runs = [m.run for m in wanted.measurements] if wanted else []
        for (line, column), sample in (entry for other in others for entry in other.cells.items()):
            same = line == "no CRF, ratio 0" and column.endswith(kind) and [m.run for m in sample.measurements] == runs
            if same:
                results.cells.setdefault((row, "mIoU" + WITHOUT_CRF), sample)


def pool(table, data, measurements, paper):
    """The TableResults of one table's measurements on one data set."""
    results = TableResults(table, data, measurements=tuple(measurements))
    cells = {}
    for found in measurements:
        cells.setdefault((found.row, found.column, found.unit, misfit(found, paper)), []).append(found)
    for (row, column, _, reason), candidates in cells.items():
        kept, rivals, older = one_a_seed(candidates, results.warnings)
        if kept and not reason:
            results.cells[row, column] = Sample(kept)
        elif kept and reason == NOT_IN_PAPER:
            results.further.append((Sample(kept), reason))
        else:
            results.further.extend((Sample((found,)), reason) for found in kept)
        results.further.extend((Sample((rival,)), "several numbers for this seed") for rival in rivals)
        results.further.extend((Sample((one,)), "there is a newer number for this seed") for one in older)
        if reason not in ("", NOT_IN_PAPER):
            results.warnings.append(f"{row}, {column}: {reason}; not compared, see the further measurements.")
    used = {f"{row}, {column}": sample.measurements for (row, column), sample in results.cells.items()}
    if table in ONE_SETTING:
        used = {"this table": tuple(found for sample in used.values() for found in sample)}
    for name, found in used.items():
        check_settings(name, found, results.warnings)
    check_backbones(results)
    prints = [found.fingerprint for found in measurements]
    if len(set(prints)) > 1:
        counts = ", ".join(f"{(key or 'none')[:12]} ({prints.count(key)} times)" for key in sorted(set(prints), key=str))
        results.warnings.append(f"Data of different fingerprints are mixed in this table: {counts}.")
    return results


def misfit(measurement, paper):
    """Why a measurement does not stand for a cell of the paper; empty if it does."""
    if len(measurement.seeds) > 1:
        return f"one number for {len(measurement.seeds)} seeds, expected one number a seed"
    unit = unit_of(measurement.cell, paper)
    if unit is None:
        return NOT_IN_PAPER
    return "" if unit == measurement.unit else f"unit {measurement.unit}, in the paper {unit}"


def unit_of(cell, paper):
    """Unit that a cell has in the paper, None for no such cell.

    A class of the generated scenes has a place among Table 2's classes, any backbone in Table 4's columns and Table 5's rows,
    and beside the numbers with CRF of Tables 2 and 3 those without.
    """
    table, row, column = cell
    if table in ("CIAN 2", "CIAN 3") and column.endswith(WITHOUT_CRF):
        cell = table, row, column[: -len(WITHOUT_CRF)]
    elif cell not in paper and table == CLASS_TABLE and column in SCENE_CLASSES:
        cell = table, row, "mIoU"
    elif cell not in paper and table == "CIAN 4" and BACKBONE_COLUMN.match(column):
        cell = table, row, f"{PAPER_BACKBONE} {BACKBONE_COLUMN.match(column).group(2)}"
    elif cell not in paper and table == "CIAN 5" and OWN_ROW.match(row):
        cell = table, "CIAN (res101), L.", column
    return paper[cell][1] if cell in paper else None


def one_a_seed(candidates, warnings):
    """Measurements of one cell: one a seed, ascending; those whose seed has several; older ones. Warnings are appended.

    Of a seed's numbers those of the latest day count; the day of the earliest was not recorded.
    """
    by_seed, kept, rivals, older = {}, [], [], []
    for found in candidates:
        by_seed.setdefault(found.seeds, []).append(found)
    for seeds, every in sorted(by_seed.items()):
        last = max(one.date or "" for one in every)
        found = [one for one in every if (one.date or "") == last]
        older.extend(one for one in every if (one.date or "") < last)
        name = f"{found[0].row}, {found[0].column}, {seed_text(seeds)}"
        if len(found) < len(every):
            warnings.append(f"{name}: {len(every) - len(found)} older than {last}, not counted; see the further measurements.")
        if len({(one.value, one.run) for one in found}) == 1:
            kept.append(found[0])
            if len(found) > 1:
                warnings.append(f"{name}: {len(found)} folders hold the same number of run {found[0].run}; counted once.")
        else:
            rivals.extend(found)
            listed = "; ".join(f"{one.value:g} {one.unit} of {one.run}" for one in found)
            warnings.append(f"{name}: several numbers ({listed}); this seed is left out of the mean.")
    return tuple(kept), rivals, older


def seed_text(seeds):
    """`seed 0`, `seeds 0, 1`, or `no seed`."""
    return "no seed" if not seeds else f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
