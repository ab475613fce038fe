"""What the files of an output folder were made of, said in the folder itself, so that files of something else are never kept.

A record, such as predict.json, says what all files have in common; inputs.json says of each id what it alone was made of.
"""

import re
from pathlib import Path
from typing import Any, Dict, Iterator, Optional, Sequence, Union

from cian.base.files import read_record, write_json
from cian.base.locks import RECORDING, hold, locked
from cian.base.runs import describe_difference

INPUTS = "inputs.json"
Inputs = Dict[str, Dict[str, Any]]  # {id: {what: plain JSON value}}


def claim_output(
    folder: Union[str, Path],
    name: str,
    record: Dict[str, Any],
    inputs: Optional[Inputs] = None,
    remade: Sequence[str] = (),
    together: bool = False,
) -> None:
    """Say in folder/name (JSON) what the files there are made of, and in folder/inputs.json what those of each id are; hold the
    folder until this process ends.

    record, inputs: plain JSON values. ValueError, which says how they differ, if files in the folder were made of something
    else, or by older code that did not record all of it; then nothing is written. Other ids may be there; what holds no file
    but records and logs was not begun. remade: names among the inputs that may differ, because the caller makes such files
    anew. RuntimeError while another process writes there; together: unless that, too, claims it so, with the same record.
    """
    hold(folder, together)
    with locked(Path(folder), lambda: None, RECORDING):  # another process may claim the folder at the same moment
        _claim(folder, name, record, inputs, remade, together)


def _claim(
    folder: Union[str, Path],
    name: str,
    record: Dict[str, Any],
    inputs: Optional[Inputs],
    remade: Sequence[str],
    together: bool,
) -> None:
    """claim_output for the holder of the folder."""
    path = Path(folder) / name
    begun = path.exists() and any(_results(path))
    if begun:
        found = read_record(path)
        missing = sorted(set(record) - set(found))
        if missing:
            raise ValueError(
                f"{folder}: {path.name} is of older code, which did not record {', '.join(missing)}, so its files could be of "
                f"something else; use another --output or remove the folder (or, to keep the files as they are, {path.name})"
            )
        if found != record:
            raise ValueError(
                f"{folder}: holds files of another checkpoint or other settings: {differences(found, record)} (see {path}); "
                "use another --output"
            )
    if inputs is not None:
        known = check_inputs(folder, inputs, remade) if begun else {}
        if together and not begun and path.exists() and read_record(path) == record:  # another has just begun it
            known = read_record(path.parent / INPUTS) if (path.parent / INPUTS).exists() else {}
        if {**known, **inputs} != known:
            write_json(Path(folder) / INPUTS, {**known, **inputs})
    write_json(path, record)


def _results(path: Path) -> Iterator[Path]:
    """The files in the folder of a record, and below, that are neither records, nor hidden, nor a log."""
    files = (file for file in path.parent.rglob("*") if file.is_file() and file not in (path, path.parent / INPUTS))
    return (file for file in files if file.suffix != ".log" and not file.name.startswith("."))


def check_inputs(folder: Union[str, Path], inputs: Inputs, remade: Sequence[str] = ()) -> Inputs:
    """What folder/inputs.json says of all ids, {} where it is not there; ValueError names an id of which `inputs` says else."""
    path = Path(folder) / INPUTS
    known = read_record(path) if path.exists() else {}
    other = []
    for image_id, wanted in inputs.items():
        found = {**known.get(image_id, wanted), **{key: wanted[key] for key in remade}}
        if found != wanted:
            other.append(f"of {image_id} {differences(found, wanted)}")
    if other:
        raise ValueError(
            f"{folder}: holds files of other data: {other[0]} ({len(other)} of {len(inputs)} ids differ, see {path}); expected "
            "the same or another folder"
        )
    return known


def differences(found: Dict[str, Any], wanted: Dict[str, Any]) -> str:
    """`key was A, now B; ...` of the entries that differ, digests shortened."""
    keys = [key for key in sorted(set(found) | set(wanted)) if found.get(key) != wanted.get(key)]
    text = "; ".join(describe_difference(key, found.get(key), wanted.get(key)) for key in keys)
    return re.sub(r"\b([0-9a-f]{8})[0-9a-f]{56}\b", r"\1...", text)
