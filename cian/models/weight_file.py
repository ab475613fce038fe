"""Files of weights in every format that is read: .params of MXNet, zipped or not, .safetensors, and .pth of PyTorch.

The format is known by the content, not by the name. Nothing in a file is executed.
"""

import zipfile

import numpy as np
import safetensors

from cian.base.files import DamagedArchive, open_zip
from cian.models.params import is_params, parse_params, widened
from cian.models.torch_file import is_old, read_torch

FORMATS = ".params (zipped or not), .safetensors, .pth or .pt of PyTorch"
MOST_UNPACKED = 1 << 32  # bytes
#: safetensors' names of types -> dtype
SAFE_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U8": "u1",
               "BOOL": "?"}  # fmt: skip


def read_weights(path):
    """{name: array} of a file of weights, names as the file has them but for `arg:` and `aux:`.

    FileNotFoundError or ValueError name the file; ValueError for a format that is not known, and for damaged or foreign files.
    """
    path = str(path)
    with open(path, "rb") as file:
        head = file.read(16)
    if len(head) < 8:
        raise ValueError(f"{path}: not a file of weights ({len(head)} bytes)")
    if is_params(head):
        with open(path, "rb") as file:
            arrays = parse_params(file.read(), path)
    elif zipfile.is_zipfile(path) and not _is_torch(path):
        arrays = parse_params(_unzipped(path), path)
    elif is_old(head) or zipfile.is_zipfile(path):
        arrays = read_torch(path)
    elif head[8:9] == b"{":
        arrays = read_safetensors(path)
    elif path.endswith((".pth", ".pt")):
        arrays = read_torch(path)  # says what is wrong with it
    else:
        raise ValueError(f"{path}: not a file of weights; expected {FORMATS}, or it is damaged")
    return {name.split(":", 1)[-1]: value for name, value in arrays.items()}


def read_safetensors(path):
    """{name: array} of a .safetensors file; bfloat16 becomes float32. ValueError names the file."""
    with open(str(path), "rb") as file:
        content = file.read()
    try:
        found = dict(safetensors.deserialize(content))
    except Exception as error:  # SafetensorError, and what it does not catch
        raise ValueError(f"{path}: not a complete .safetensors file ({error})") from None
    unknown = sorted({one["dtype"] for one in found.values()} - set(SAFE_DTYPES) - {"BF16"})
    if unknown or not found:
        raise ValueError(f"{path}: {f'values of type {unknown[0]}' if unknown else 'no tensors'}, expected weights")
    return {name: _safe_array(one) for name, one in found.items()}


def _safe_array(one):
    half = one["dtype"] == "BF16"
    values = np.frombuffer(bytes(one["data"]), "<u2" if half else SAFE_DTYPES[one["dtype"]]).reshape(one["shape"])
    return widened(values) if half else values


def _is_torch(path):
    try:
        with open_zip(path) as archive:
            return any(name.endswith("/data.pkl") for name in archive.namelist())
    except DamagedArchive:
        return False  # damaged, which is said by whoever reads it


def _unzipped(path):
    """The bytes of the one .params file in a zip archive; ValueError names the archive and what it holds instead."""
    with open_zip(path) as archive:
        files = [item for item in archive.infolist() if not item.is_dir()]
        if len(files) != 1 or not files[0].filename.endswith(".params"):
            names = ", ".join(item.filename for item in files[:4]) or "nothing"
            raise ValueError(f"{path}: an archive of {names}; expected one .params file, or a file of torch.save")
        if files[0].file_size > MOST_UNPACKED:
            raise ValueError(f"{path}: {files[0].filename} has {files[0].file_size:,} bytes, at most {MOST_UNPACKED:,}")
        return archive.read(files[0])  # zipfile checks the CRC
