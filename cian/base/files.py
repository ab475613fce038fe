"""Files that are written whole or not at all, one or several together; JSON and npz that name their file when wrong."""
import contextlib
import errno
import json
import os
import shutil
import tempfile
import zipfile
import zlib
from pathlib import Path

import numpy as np

UNFINISHED = ".unfinished-"  # how the names of temporary files begin, so that those of a killed process can be told


@contextlib.contextmanager
def replacing(path):
    """Yield a temporary path beside `path` (same suffix); on success it becomes `path`, on an error it vanishes.

    Missing parent folders are made. The rename is atomic, so a reader sees the old file or the new one. OSError, as of a disk
    that is full or read-only, names `path`.
    """
    path, temporary = Path(path), None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=UNFINISHED + path.stem + "-", suffix=path.suffix, dir=str(path.parent))
        os.close(handle)
        temporary = Path(name)
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp makes private files; these are meant to be shared
        os.replace(str(temporary), str(path))
    except OSError as error:
        raise _naming(error, path) from None
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):  # gone already, or the disk has become read-only
                temporary.unlink()


def _naming(error, path):
    """The OSError with `path` as its file, unless it names another that is no temporary one."""
    if error.filename is not None and not Path(os.fsdecode(error.filename)).name.startswith(UNFINISHED):
        return error
    return OSError(error.errno, error.strerror or str(error), str(path))  # of the kind that belongs to the number


def append_text(path, text):
    """Append to a file, made if missing, as UTF-8; OSError, as of a full disk, names it."""
    try:
        with open(str(path), "a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise _naming(error, path) from None


def remove_unfinished(folder):
    """Remove the temporary files that a killed process has left in a folder, which this process has to hold."""
    for path in Path(folder).glob(UNFINISHED + "*"):
        path.unlink()


def write_bytes(path, data):
    """Write `data` (bytes) to `path`, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_text(path, text):
    """Write `text` to `path` as UTF-8, whole or not at all."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path, value):
    """Write `value` as indented JSON; NaN is refused (ValueError) because JSON has none."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_text(path):
    """The text of a UTF-8 file; ValueError names the file when it is none."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a UTF-8 text file ({error})") from None


def read_json(path):
    """Read a JSON file; ValueError names the file when it is not JSON."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # of ValueError also what is not UTF-8
        raise ValueError(f"{path}: not valid JSON ({error})") from None


def read_record(path):
    """Read a JSON file that holds one object, as dict; ValueError names the file."""
    found = read_json(path)
    if not isinstance(found, dict):
        raise ValueError(f"{path}: expected a JSON object, found {type(found).__name__}")
    return found


def write_arrays(path, arrays):
    """Write {name: array} as npz, the bytes of np.savez, whole or not at all.

    np.savez itself leaves an open archive behind when the disk is full, which complains once more when it is thrown away.
    """
    with replacing(path) as temporary, open(str(temporary), "wb") as file, zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            with archive.open(name + ".npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)


def read_arrays(path, what):
    """{name: array} of an npz file without pickles; ValueError names the file and says that it is no readable `what`."""
    try:
        with np.load(str(path), allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except FileNotFoundError:
        raise
    except Exception as error:  # what zipfile and numpy raise on damaged bytes is of a dozen kinds
        raise ValueError(f"{path}: cannot be read as a {what} ({str(error) or type(error).__name__})") from None


class DamagedArchive(ValueError):
    """A zip archive that cannot be read; the message names it."""


@contextlib.contextmanager
def open_zip(path):
    """Yield the archive for reading. DamagedArchive for whatever its bytes make zipfile raise; OSError as of `open`."""
    with open(str(path), "rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                yield archive
        # RuntimeError is zipfile's where a flipped bit asks for a password, or for a compression it does not know
        except (zipfile.BadZipFile, zlib.error, EOFError, UnicodeDecodeError, RuntimeError, OSError) as error:
            if isinstance(error, OSError) and error.errno != errno.EINVAL:
                raise  # of the disk; EINVAL is that of a seek to before the file, where a damaged directory points
            raise DamagedArchive(f"{path}: a damaged archive ({error})") from None


def writable_folder(folder):
    """The folder, or its nearest parent that exists; NotADirectoryError or PermissionError where nothing can be written."""
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir():
        raise NotADirectoryError(f"output: {folder} is a file, expected a folder")
    if not os.access(str(folder), os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
        raise PermissionError(f"output: folder {folder} is not writable")
    return folder


def check_space(folder, needed, what):
    """RuntimeError where the file system of a folder, which need not be there yet, has less than `needed` bytes free."""
    free = shutil.disk_usage(str(writable_folder(Path(folder)))).free
    if free < needed:
        gigabytes = f"about {needed / 1e9:.2g} GB for {what}, free are {free / 1e9:.2g} GB"
        raise RuntimeError(f"{folder}: not enough space: {gigabytes}; free some, or choose another --output")


def put_in_place(made, targets, removed=()):
    """Rename files onto targets and remove others, all or nothing: what was there comes back if one step fails."""
    kept, begun = {}, []
    for target in [*targets, *removed]:
        if target.exists():
            kept[target] = made[0].parent / (target.name + ".old")
            os.link(str(target), str(kept[target]))
    try:
        for path, target in zip(made, targets):
            begun.append(target)
            os.replace(str(path), str(target))
        for target in removed:
            begun.append(target)
            target.unlink()
    except BaseException:  # an interruption as well
        for target in begun:
            if target not in kept:
                if target.exists():
                    target.unlink()
            elif not target.exists() or not target.samefile(kept[target]):
                os.replace(str(kept[target]), str(target))
        raise
