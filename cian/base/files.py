"""Files that are written whole or not at all, one or several together, by one process at a time; JSON that names its file when
it is wrong."""
import contextlib
import fcntl
import json
import os
import tempfile
from pathlib import Path

LOCK = ".lock"


@contextlib.contextmanager
def replacing(path):
    """Yield a temporary path beside `path` (same suffix); on success it becomes `path`, on an error it vanishes.

    Missing parent folders are made. The rename is atomic, so a reader sees the old file or the new one.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix="." + path.stem + "-", suffix=path.suffix, dir=str(path.parent))
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp makes private files; these are meant to be shared
        os.replace(str(temporary), str(path))
    finally:
        if temporary.exists():
            temporary.unlink()


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


def read_json(path):
    """Read a JSON file; ValueError names the file when it is not JSON."""
    text = Path(path).read_text(encoding="utf-8")
    try:
        return json.loads(text)
    except ValueError as error:
        raise ValueError(f"{path}: not valid JSON ({error})") from None


def writable_folder(folder):
    """The folder, or its nearest parent that exists; NotADirectoryError or PermissionError where nothing can be written."""
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir():
        raise NotADirectoryError(f"output: {folder} is a file, expected a folder")
    if not os.access(str(folder), os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
        raise PermissionError(f"output: folder {folder} is not writable")
    return folder


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


@contextlib.contextmanager
def locked(folder, occupied):
    """Hold a folder, made if missing, for this process; its file `.lock` stays, the lock ends with the process at the latest.

    Where another process holds it, occupied() is called; unless that raises, the other's end is waited for.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open(str(folder / LOCK), "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            occupied()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
