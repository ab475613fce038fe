"""Files as torch.save writes them, made opcode by opcode without PyTorch: good ones, and those that nobody should open."""

import pickle
import struct
import zipfile

PROTOCOL = b"\x80\x02"
MAGIC, OLD_PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
SYSTEM = {"protocol_version": OLD_PROTOCOL, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}


def name(module, attribute):
    return b"c" + f"{module}\n{attribute}\n".encode()


def text(value):
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def number(value):
    return b"J" + struct.pack("<i", value)


def several(*parts):
    """A tuple."""
    return b"(" + b"".join(parts) + b"t"


def called(function, *arguments):
    return function + several(*arguments) + b"R"


def storage(kind, key, count):
    return several(text("storage"), name("torch", kind), text(key), text("cpu"), number(count)) + b"Q"


def tensor(kind, key, count, size, stride, offset=0):
    sizes = several(*map(number, size)), several(*map(number, stride))
    hooks = called(name("collections", "OrderedDict"))
    return called(name("torch._utils", "_rebuild_tensor_v2"), storage(kind, key, count), number(offset), *sizes, b"\x89", hooks)


def parameter(one):
    return called(name("torch._utils", "_rebuild_parameter"), one, b"\x88", called(name("collections", "OrderedDict")))


def ordered(entries):
    """An OrderedDict with the state that modules give it."""
    items = b"".join(text(key) + value for key, value in entries.items())
    state = b"}" + text("_metadata") + b"}" + b"s"
    return called(name("collections", "OrderedDict")) + b"(" + items + b"u" + state + b"b"


def write(path, content, storages, old=False, more=()):
    """Write a file of torch.save; content: opcodes; storages: {key: bytes}; more: {member of the archive: bytes}."""
    if old:
        parts = [pickle.dumps(part, 2) for part in (MAGIC, OLD_PROTOCOL, SYSTEM)] + [PROTOCOL + content + b"."]
        parts.append(pickle.dumps(list(storages), 2))
        parts += [struct.pack("<q", len(data) // 4) + data for data in storages.values()]  # values of four bytes
        path.write_bytes(b"".join(parts))
        return
    with zipfile.ZipFile(str(path), "w") as archive:
        members = {"data.pkl": PROTOCOL + content + b".", "byteorder": b"little", "version": b"3\n", **dict(more)}
        members.update({f"data/{key}": data for key, data in storages.items()})
        for member, data in members.items():
            archive.writestr(f"archive/{member}", data)
