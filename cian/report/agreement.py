"""Do the measurements of a table belong together: one network, the same lists and schedules? What does not is warned of."""

import re

from cian.base.results import natural

ONE_SETTING = ("CIAN 2", "CIAN 3", "COMNet I", "COMNet II", "COMNet V")  # tables whose rows share preset and backbone
DEFAULT_BACKBONE = ("CIAN 2", "CIAN 3")  # "By default, ResNet101 is adopted"
NAMED_BACKBONE = re.compile(r"\bres(?:net)?-?(\d+)", re.IGNORECASE)  # in the names of rows and columns
SHARED_SETTINGS = (
    *("preset", "backbone", "list", "val_list", "images", "test_size"),
    *("batchnorm", "freeze", "crop", "batch", "epochs", "optimizer", "lr", "schedule"),
)
WHOLE_GROUPS = " A batch holds whole groups, so the number of images in a group decides what is possible."


def check_settings(name, measurements, warnings):
    """Warn where numbers that belong together come from different networks, or from different lists or schedules.

    The latter only among runs of one method, the first word of a run's name: a random walk has another schedule than the
    class activation that stands beside it in COMNet's Table V.
    """
    methods = sorted({found.run.split("_")[0] + "_" for found in measurements})
    for key in SHARED_SETTINGS:
        for method in [""] if key == "backbone" else methods:
            values = {str(found.settings.get(key)) for found in measurements if found.run.startswith(method)}
            values = sorted(values, key=natural)
            if len(values) > 1:
                text = f"{name}: measured with different settings, {key} {' and '.join(values)}."
                warnings.append(text + (WHOLE_GROUPS if key == "batch" and whole_groups(measurements) else ""))


def whole_groups(measurements):
    """Are all batches multiples of the number of images in a group, which differs?"""
    sizes = {(found.settings.get("batch"), found.settings.get("group_size")) for found in measurements}
    known = all(type(batch) is type(group) is int for batch, group in sizes)
    return known and len({group for _, group in sizes}) > 1 and all(batch % group == 0 for batch, group in sizes)


def check_backbones(results):
    """Warn where a cell's names, or on the paper's data its tables, tell another ResNet than the settings do."""
    default = "resnet101" if results.table in DEFAULT_BACKBONE and results.comparable else None
    found = set()
    for (row, column), sample in results.cells.items():
        named = NAMED_BACKBONE.search(f"{row} {column}")
        wanted = f"resnet{named.group(1)}" if named else default
        used = {m.settings["backbone"] for m in sample.measurements if "backbone" in m.settings}
        found.update((wanted, backbone) for backbone in used if wanted and backbone != wanted)
    for wanted, backbone in sorted(found):
        results.warnings.append(f"Cells that the paper measured with {wanted} were measured with {backbone}.")
