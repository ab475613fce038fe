"""Download and unpacking of the VOC and SBD archives, with small archives and no network."""
import io
import tarfile

import pytest

from cian.data.archives import SBD, VOC_2012, Archive, download_archive, unpack
from cian.data.sbd import find_sbd, find_voc

ARCHIVE = Archive("http://somewhere/data.tgz", "0" * 40, "top", ("inner/cls", "inner/train.txt"))
FILES = {"top/inner/cls/a.mat": b"aa", "top/inner/train.txt": b"a\n", "top/inner/img/a.jpg": b"not wanted"}


def write_tar(path, files, mode="w:gz", extra=()):
    with tarfile.open(str(path), mode) as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
        for member in extra:
            tar.addfile(member)
    return path


@pytest.mark.parametrize("mode, prefix", [("w", ""), ("w:gz", ""), ("w:gz", "./")])
def test_only_the_wanted_parts_are_unpacked(tmp_path, mode, prefix):
    path = write_tar(tmp_path / "data.tgz", {prefix + name: data for name, data in FILES.items()}, mode)
    (tmp_path / "top.partial" / "left").mkdir(parents=True)  # of an interrupted run
    done = []
    assert unpack(path, tmp_path, ARCHIVE, done.append) == tmp_path / "top"
    found = {str(file.relative_to(tmp_path)): file.read_bytes() for file in (tmp_path / "top").rglob("*.*")}
    assert found == {name: data for name, data in FILES.items() if "img" not in name}
    assert len(done) == 3 and 0 < sum(done) <= path.stat().st_size
    assert not (tmp_path / "top.partial").exists()


def test_the_real_archives_unpack_to_what_is_looked_for(tmp_path):
    for archive, find in ((VOC_2012, find_voc), (SBD, find_sbd)):
        files = {f"{archive.top}/{name}" + ("" if name.endswith(".txt") else "/Segmentation/x"): b""
                 for name in archive.wanted}
        path = write_tar(tmp_path / "a.tar", files)
        assert len(archive.sha1) == 40
        assert tmp_path / archive.top in find(unpack(path, tmp_path, archive)).parents


def test_broken_archives(tmp_path):
    path = tmp_path / "data.tgz"
    whole = write_tar(path, {**FILES, "top/inner/cls/b.mat": bytes(range(256)) * 400}).read_bytes()
    for damaged in (b"", b"<html>not found</html>", whole[:len(whole) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="data.tgz: cannot be unpacked"):
            unpack(path, tmp_path, ARCHIVE)
    write_tar(path, {"top/inner/train.txt": b""})
    with pytest.raises(ValueError, match="data.tgz: expected .* below top, found no inner/cls"):
        unpack(path, tmp_path, ARCHIVE)
    assert not (tmp_path / "top").exists()


def test_members_cannot_leave_the_folder(tmp_path):
    for name in ("top/inner/../../../outside.txt", "/outside.txt"):
        path = write_tar(tmp_path / "data.tgz", {name: b"x"})
        with pytest.raises(ValueError, match="points outside"):
            unpack(path, tmp_path / "sub", ARCHIVE)
    link = tarfile.TarInfo("top/inner/cls/link")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc"
    unpack(write_tar(tmp_path / "data.tgz", FILES, extra=[link]), tmp_path / "sub", ARCHIVE)
    assert [file.name for file in (tmp_path / "sub/top/inner/cls").iterdir()] == ["a.mat"]


def test_download_passes_address_and_checksum_on(tmp_path):
    calls = []
    path = download_archive(ARCHIVE, tmp_path / "new", lambda url, **options: calls.append((url, options)))
    assert path == tmp_path / "new" / "data.tgz"
    assert calls == [(ARCHIVE.url, {"path": str(path), "sha1_hash": ARCHIVE.sha1})]


@pytest.mark.parametrize("error", [OSError("no route"), RuntimeError("Failed"), UserWarning("hash does not match")])
def test_a_failed_download_says_how_to_go_on(tmp_path, error):
    def fail(url, **options):
        raise error

    message = f"somewhere/data.tgz cannot be downloaded: {error}\n.*put it at .*data.tgz"
    with pytest.raises(ConnectionError, match=message):
        download_archive(ARCHIVE, tmp_path, fail)
