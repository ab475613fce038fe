"""Files of weights in every format: what is in them, and that damaged, foreign and malicious ones are refused by name."""

import os
import zipfile

import numpy as np
import pytest
import torch_files as torch
from safetensors.numpy import save_file

from cian.base.runtime import mx
from cian.models.params import parse_params
from cian.models.weight_file import read_weights

F4 = np.arange(12, dtype="<f4")
FLOATS = "FloatStorage", "0", 12  # a storage
SIMPLE = {"0": F4.tobytes()}


def one(**changes):
    """The opcodes of {"w": a tensor of 3 x 4}, changed."""
    words = {"kind": "FloatStorage", "key": "0", "count": 12, "size": (3, 4), "stride": (4, 1), **changes}
    return torch.ordered({"w": torch.tensor(**words)})


@pytest.mark.parametrize("old", [False, True])
def test_pytorch_views_shared_storages_and_parameters(tmp_path, old):
    content = torch.ordered({
        "module.w": torch.tensor(*FLOATS, (3, 4), (4, 1)), "t": torch.tensor(*FLOATS, (4, 3), (1, 4)),
        "part": torch.parameter(torch.tensor(*FLOATS, (2,), (4,), 5)), "scalar": torch.tensor(*FLOATS, (), (), 7),
        "none": torch.tensor(*FLOATS, (0, 3), (3, 1)), "i": torch.tensor("IntStorage", "1", 2, (2,), (1,))})  # fmt: skip
    torch.write(tmp_path / "w.pth", content, {**SIMPLE, "1": np.array([5, -6], "<i4").tobytes()}, old)
    found, w = read_weights(tmp_path / "w.pth"), F4.reshape(3, 4)
    assert sorted(found) == ["i", "none", "part", "scalar", "t", "w"]
    assert np.array_equal(found["w"], w) and np.array_equal(found["t"], w.T) and np.array_equal(found["part"], [5, 9])
    assert found["scalar"] == 7 and found["none"].shape == (0, 3) and found["i"].tolist() == [5, -6]


def test_pytorch_half_and_bfloat16(tmp_path):
    values = np.array([1.5, -2.25, 3.0], "<f4")
    bfloat = (values.view("<u4") >> 16).astype("<u2")
    kinds = zip("hbd", ("HalfStorage", "BFloat16Storage", "DoubleStorage"), "012")
    content = torch.ordered({key: torch.tensor(kind, storage, 3, (3,), (1,)) for key, kind, storage in kinds})
    stored = {"0": values.astype("<f2").tobytes(), "1": bfloat.tobytes(), "2": values.astype("<f8").tobytes()}
    torch.write(tmp_path / "w.pt", b"}" + torch.text("state_dict") + content + b"s", stored)  # as trainings keep it
    found = read_weights(tmp_path / "w.pt")
    assert found["b"].dtype == np.float32 and all(np.array_equal(np.float32(found[key]), values) for key in "hbd")


def attack(marker):
    """Opcodes that would write a file."""
    return torch.called(torch.name("os", "system"), torch.text(f"touch {marker}"))


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("content, message", [
    ("attack", "it refers to 'os.system', which tensors do not need"),
    (torch.ordered({"w": torch.called(torch.name("builtins", "getattr"), torch.text("a"))}), "it refers to 'builtins.getattr'"),
    (torch.called(torch.name("numpy.core.multiarray", "_reconstruct")), "'numpy.core.multiarray._reconstruct'"),
    (torch.ordered({"epoch": torch.number(3), "w": torch.tensor(*FLOATS, (3,), (1,))}), "but 'epoch' is none"),
    (torch.name("torch", "FloatStorage") + torch.several() + b"R", "not callable"),
    (one(kind="QInt8Storage"), "'torch.QInt8Storage'"),
    (one(offset=1), "a tensor of size"), (one(size=(3, 5)), "a tensor of size"), (one(stride=(100, 1)), "a tensor of size"),
    (one(size=(3, -4)), "a tensor at 0 of size"), (one(offset=-1), "a tensor at -1"),
    (one(size=(1 << 30, 4), stride=(0, 0)), "a tensor of size"), (one(count=13), "storage"), (one(count=-1), "a storage '0'"),
    (b"]", "found list|no tensor"), (torch.number(4), "found int|no tensor"),
    (b"r\xff\xff\xff\x7f" + one(), "a reference to object 2147483647"),
    (torch.name("torch._utils", "_rebuild_tensor_v2") + b"}b", "missing|unexpected"),
    (torch.text("storage") + b"Q", "expected a storage"), (one()[:-20], "")],
    ids=lambda value: None if isinstance(value, bool) else "")  # fmt: skip
def test_pytorch_files_that_hold_anything_else(tmp_path, content, message, old):
    path, marker = tmp_path / "bad.pth", tmp_path / "executed"
    torch.write(path, attack(marker) if content == "attack" else content, SIMPLE, old)
    with pytest.raises(ValueError, match=f"(?s)bad.pth: not read as tensors of PyTorch: .*({message})"):
        read_weights(path)
    assert sorted(os.listdir(tmp_path)) == ["bad.pth"]


@pytest.mark.parametrize("storages, more, message", [
    ({}, {}, "its storage archive/data/0 is missing"), ({"0": b"1234"}, {}, "has 4 bytes, expected 48"),
    (SIMPLE, {"byteorder": b"big"}, "big-endian"), (SIMPLE, {"constants.pkl": b""}, "TorchScript"),
    (SIMPLE, {"data.pkl": b""}, "")])  # fmt: skip
def test_pytorch_archives_that_are_not_whole(tmp_path, storages, more, message):
    torch.write(tmp_path / "bad.pth", one(), storages, more=more)
    with pytest.raises(ValueError, match=f"bad.pth: not read as tensors of PyTorch: .*{message}"):
        read_weights(tmp_path / "bad.pth")


@pytest.mark.parametrize("old", [False, True])
def test_pytorch_files_cut_short(tmp_path, old):
    torch.write(tmp_path / "cut.pth", one(), SIMPLE, old)
    whole = (tmp_path / "cut.pth").read_bytes()
    for length in (10, len(whole) // 2, len(whole) - 5):
        (tmp_path / "cut.pth").write_bytes(whole[:length])
        with pytest.raises(ValueError, match="cut.pth"):
            read_weights(tmp_path / "cut.pth")


@pytest.mark.parametrize("name", ["bad.pth", "bad.params.zip"])
@pytest.mark.parametrize("entry, place, wrong, message", [
    (b"PK\x01\x02", 0, b"\0\0\0\0", "Bad magic number"),  # zipfile finds the end of the archive, and there no directory
    (b"PK\x01\x02", 46, b"\x95", "can't decode byte 0x95"),  # a name that is not the UTF-8 it says it is
    (b"PK\x05\x06", 16, b"\xff\xff\xff\x7f", "Invalid argument"),  # by its directory the member begins before the file
])  # fmt: skip
def test_archives_with_a_damaged_directory_are_named(name, entry, place, wrong, message, tmp_path):
    with zipfile.ZipFile(str(tmp_path / name), "w") as archive:
        archive.writestr("wéights.params", b"12345678")  # not ASCII, so that the directory says UTF-8
    content = bytearray((tmp_path / name).read_bytes())
    begin = content.index(entry) + place
    content[begin : begin + len(wrong)] = wrong
    (tmp_path / name).write_bytes(bytes(content))
    with pytest.raises(ValueError, match=f"{name}: a damaged archive .*{message}"):
        read_weights(tmp_path / name)


def test_pytorch_files_whose_directory_points_outside(tmp_path):
    torch.write(tmp_path / "bad.pth", one(), SIMPLE)
    content = bytearray((tmp_path / "bad.pth").read_bytes())
    end = content.index(b"PK\x05\x06")
    content[end + 16 : end + 20] = b"\xff\xff\xff\x7f"
    (tmp_path / "bad.pth").write_bytes(bytes(content))
    with pytest.raises(ValueError, match="bad.pth: a damaged archive .*Invalid argument"):
        read_weights(tmp_path / "bad.pth")


def test_safetensors(tmp_path):
    path = tmp_path / "w.safetensors"
    save_file({"a": F4.reshape(3, 4), "h": F4.astype("float16")}, str(path))
    found = read_weights(path)
    assert np.array_equal(found["a"], F4.reshape(3, 4)) and found["h"].dtype == np.float16
    header = b'{"b":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}'
    bfloat = (np.array([1.5, -3.0], "<f4").view("<u4") >> 16).astype("<u2").tobytes()
    path.write_bytes(len(header).to_bytes(8, "little") + header + bfloat)
    assert read_weights(path)["b"].tolist() == [1.5, -3.0] and read_weights(path)["b"].dtype == np.float32


@pytest.mark.parametrize("header, data", [
    (b'{"b":{"dtype":"F32","shape":[9],"data_offsets":[0,36]}}', b"1234"), (b"{]", b""), (b"{}", b""),
    (b'{"b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}}', bytes(12)),
    (b'{"b":{"dtype":"F8_E5M2","shape":[4],"data_offsets":[0,4]}}', b"1234")])  # fmt: skip
def test_safetensors_that_are_damaged_or_foreign(tmp_path, header, data):
    (tmp_path / "bad.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + data)
    with pytest.raises(ValueError, match="bad.safetensors: (not a complete .safetensors|no tensors|values of type F8)"):
        read_weights(tmp_path / "bad.safetensors")


def test_params_zipped_or_not_of_all_types_and_ages(tmp_path):
    path, types = tmp_path / "w.params", ("float32", "float64", "float16", "uint8", "int32", "int8", "int64")
    arrays = {f"arg:{t}": mx.nd.array(F4.reshape(3, 4), dtype=t) for t in types}
    mx.nd.save(str(path), arrays)
    found = read_weights(path)
    assert list(found) == list(types) and all(found[t].dtype == t and np.array_equal(found[t], F4.reshape(3, 4)) for t in types)
    with zipfile.ZipFile(str(tmp_path / "w.params.zip"), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(str(path), "inside.params")
    again = read_weights(tmp_path / "w.params.zip")
    assert all(np.array_equal(found[t], again[t]) for t in types)
    content = path.read_bytes()
    dims = np.array([3, 4], "<u4").tobytes()
    device = np.array([1, 0, 0], "<i4").tobytes()
    oldest = content[:16] + (1).to_bytes(8, "little") + (2).to_bytes(4, "little") + dims + device + F4.tobytes()
    name = (1).to_bytes(8, "little") + (5).to_bytes(8, "little") + b"aux:w"
    assert np.array_equal(parse_params(oldest + name, "x")["aux:w"], F4.reshape(3, 4))  # MXNet of 2015


def test_damaged_params_are_refused_or_read_but_never_harm(tmp_path):
    arrays = {"arg:conv0_weight": mx.nd.ones((4, 3, 3, 3)), "aux:bn_moving_mean": mx.nd.zeros((4,))}
    mx.nd.save(str(tmp_path / "w.params"), arrays)
    whole, random, refused = (tmp_path / "w.params").read_bytes(), np.random.RandomState(0), 0
    for length in range(0, len(whole), 7):
        with pytest.raises(ValueError, match="w.params: not a complete .params file"):
            parse_params(whole[:length], "w.params")
    for _ in range(1000):  # MXNet's own reader asks for terabytes on some of these
        damaged = bytearray(whole)
        damaged[random.randint(0, 90)] = random.choice([0, 1, 2, 127, 128, 255])
        try:
            parse_params(bytes(damaged), "w.params")
        except ValueError as error:
            refused += 1
            assert "w.params: " in str(error)
    assert refused > 300


@pytest.mark.parametrize("content, message", [
    (b"", r"not a file of weights \(0 bytes"), (b"<html>404 not found</html>", "not a file of weights; expected .params"),
    (b"\x89PNG\r\n\x1a\n" + bytes(20), "not a file of weights"), (b"\x80\x02}q\x00." + bytes(9), "not a file of weights")])
def test_foreign_files(tmp_path, content, message):
    (tmp_path / "x.bin").write_bytes(content)
    with pytest.raises(ValueError, match=f"x.bin: {message}"):
        read_weights(tmp_path / "x.bin")


@pytest.mark.parametrize("members, message", [
    ({"a.params": b"", "b.params": b""}, "archive of a.params, b.params; expected one"), ({"a.exe": b"x"}, "archive of a.exe"),
    ({}, "archive of nothing"), ({"a.params": b"nothing like it"}, "not a complete .params file")])  # fmt: skip
def test_archives_of_something_else(tmp_path, members, message):
    with zipfile.ZipFile(str(tmp_path / "x.zip"), "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    with pytest.raises(ValueError, match=f"x.zip: .*{message}"):
        read_weights(tmp_path / "x.zip")
    assert os.listdir(tmp_path) == ["x.zip"]
