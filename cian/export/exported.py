"""Exports read back: the files of one, what they say about themselves, and whether symbol and parameters fit."""

import json
import re
import warnings
from pathlib import Path

from cian.base.runtime import mx
from cian.models.checkpoint import read_params

CLASSIFIERS = ("cam", "comnet")  # methods whose exports give scores and maps, and whose classes are without background


def export_files(path):
    """(symbol file, parameter file) of an export given by its name without ending, or by either file.

    FileNotFoundError names what is missing; ValueError where several parameter files could be meant.
    """
    name = re.sub(r"(-symbol\.json|-\d{4}\.params)$", "", str(path))
    symbol = Path(name + "-symbol.json")
    if not symbol.is_file():
        raise FileNotFoundError(f"{symbol}: no such symbol file (expected an export: NAME-symbol.json and NAME-0000.params)")
    if str(path).endswith(".params"):
        return symbol, Path(path)
    pattern = re.compile(re.escape(Path(name).name) + r"-\d{4}\.params")
    found = sorted(entry for entry in symbol.parent.iterdir() if pattern.fullmatch(entry.name))
    if not found:
        raise FileNotFoundError(f"{name}-0000.params: no such parameter file beside {symbol}")
    if len(found) > 1:
        raise ValueError(f"{name}: several parameter files, give one of {', '.join(str(entry) for entry in found)}")
    return symbol, found[0]


def description(symbol):
    """What the export says about itself (see cian.export.export), None for a symbol from elsewhere."""
    text = symbol.attr_dict().get("data", {}).get("__cian__")
    return None if text is None else json.loads(text)


def read_symbol(symbol_file):
    """The symbol of a file; ValueError names one that is none."""
    try:
        return mx.sym.load(str(symbol_file))
    except (mx.MXNetError, UnicodeDecodeError) as error:
        raise ValueError(f"{symbol_file}: not a symbol that MXNet reads ({str(error).strip().splitlines()[-1]})") from None


def load_export(path, device):
    """(SymbolBlock on `device`, description) of an export; `path` as for export_files.

    ValueError names the file that is no symbol or no .params file, or all parameters that do not fit the symbol.
    """
    symbol_file, parameter_file = export_files(path)
    symbol = read_symbol(symbol_file)
    arrays = read_params(parameter_file)
    arguments, auxiliary = symbol.list_arguments(), symbol.list_auxiliary_states()
    if "data" not in arguments:
        raise ValueError(f"{symbol_file}: has no input `data`, but {', '.join(arguments[:3])}, ...")
    needed = set(arguments + auxiliary) - {"data"}
    faults = [f"missing {name}" for name in sorted(needed - set(arrays))]
    faults += [f"unexpected {name}" for name in sorted(set(arrays) - needed)]
    try:
        faults = faults or misshapen(symbol, arrays)
    except mx.MXNetError as error:
        raise ValueError(f"{symbol_file}: not a symbol that MXNet runs ({str(error).strip().splitlines()[-1]})") from None
    if faults:
        shown = "; ".join(faults[:8]) + (f"; and {len(faults) - 8} more" if len(faults) > 8 else "")
        raise ValueError(f"{parameter_file}: does not fit {symbol_file}: {shown}")
    return symbol_block(symbol_file, parameter_file, device), description(symbol)


def symbol_block(symbol_file, parameter_file, device):
    """mx.gluon.SymbolBlock of two files, with input `data`."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Cannot decide type")  # of `data`, which is float32
        return mx.gluon.SymbolBlock.imports(str(symbol_file), ["data"], str(parameter_file), ctx=device)


def misshapen(symbol, arrays):
    """Parameters whose shape the symbol contradicts, one line each."""
    about = description(symbol) or {}
    height, width = about.get("size") or (65, 65)
    group = (about["group"],) if about.get("group") else ()
    free = dict(zip(symbol.list_arguments(), symbol.infer_shape_partial(data=(1,) + group + (3, height, width))[0]))
    free.update(zip(symbol.list_auxiliary_states(), symbol.infer_shape_partial(data=(1,) + group + (3, height, width))[2]))
    return [
        f"{name} has shape {tuple(arrays[name].shape)}, expected {shape}"
        for name, shape in sorted(free.items())
        if name in arrays and shape and tuple(arrays[name].shape) != tuple(shape)
    ]
