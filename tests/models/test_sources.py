"""Weights by name: the table, downloads from a server on this machine that misbehaves, the cache, and the order of sources."""

import hashlib
import http.server
import re
import threading
import zipfile

import numpy as np
import pytest

from cian.base import download as downloads
from cian.base.runtime import mx
from cian.config import WEIGHTS
from cian.models import sources, weight_cache
from cian.models.comnet import BACKBONES
from cian.models.params import write_params
from cian.models.sources import FAMILIES, SOURCES, Source, find, in_order
from cian.models.weight_cache import choose, place


class Server(http.server.BaseHTTPRequestHandler):
    """Serves `content`; `cut` bytes at most in an answer; `ranges` False: always all; `requests`: what was asked for."""

    content, cut, ranges, requests = {}, None, True, []

    def do_GET(self):
        begin = int(re.match(r"bytes=(\d+)-", self.headers.get("Range", "bytes=0-")).group(1)) if self.ranges else 0
        self.requests.append((self.path, begin))
        data = self.content.get(self.path)
        if data is None or begin >= len(data):
            self.send_error(404 if data is None else 416)
            return
        self.send_response(206 if begin else 200)
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - begin))
        self.end_headers()
        self.wfile.write(data[begin:][: self.cut])

    def log_message(self, *_):
        pass


@pytest.fixture()
def server(tmp_path, monkeypatch):
    """(the Server class, its address); the cache is in tmp_path."""
    monkeypatch.setenv("CIAN_WEIGHTS", str(tmp_path / "cache"))
    Server.content, Server.cut, Server.ranges, Server.requests = {}, None, True, []
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield Server, f"http://127.0.0.1:{running.server_port}"
    running.shutdown()
    running.server_close()


def weights(tmp_path, name="w.params"):
    write_params(tmp_path / name, {"conv0_weight": np.arange(2000, dtype="float32")})
    return (tmp_path / name).read_bytes()


def source(address, data, name="torchvision:net", known=True, algorithm="sha256"):
    checksum = f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()[: None if known is True else known]}" if known else None
    return Source(name, "vgg16", address, checksum, 0.5, 50.0, "MIT")


def test_the_table_is_whole():
    assert len({one.name for one in SOURCES}) == len(SOURCES) and {one.family for one in SOURCES} == set(FAMILIES)
    assert {one.backbone for one in SOURCES} <= set(BACKBONES)
    for one in SOURCES:
        assert one.address.startswith("https://") and 50 < one.top1 < 85 and find(one.name) is one
        assert one.checksum is None or re.match(r"sha1:[0-9a-f]{40}$|sha256:([0-9a-f]{8}|[0-9a-f]{64})$", one.checksum)
        begin = one.checksum and one.checksum.split(":")[1][:8]
        assert one.family == "timm" or begin in one.address  # their files are called by their checksums
    assert len({place(one) for one in SOURCES}) == len(SOURCES)


def test_every_preset_that_needs_weights_has_sources_not_only_mxnets():
    wanted = {"voc12": ("resnet101", "resnet50", "vgg16", "resnet50v1b"), "animals": ("squeezenet1.1",)}
    for preset, backbones in wanted.items():
        for backbone in backbones:
            found = in_order(backbone, WEIGHTS[preset])
            assert found[0].family != "gluoncv" and found[-1].family == "gluoncv"
    with pytest.raises(ValueError, match="init: imagenet, but this preset is learned from scratch"):
        choose("imagenet", "resnet10", WEIGHTS["scenes"])
    with pytest.raises(ValueError, match="no source has weights of resnet18"):
        choose("imagenet", "resnet18", WEIGHTS["voc12"])


def test_a_download_appears_whole_and_once(server, tmp_path):
    serving, address = server
    data = weights(tmp_path)
    serving.content["/w.params"] = data
    wanted = source(f"{address}/w.params", data, known=8)  # the beginning of a checksum
    path, why = weight_cache.obtain(wanted)
    assert path == tmp_path / "cache" / "torchvision" / "w.params" and path.read_bytes() == data and "downloaded from" in why
    again, why = weight_cache.obtain(wanted)
    assert again == path and why == f"in {tmp_path / 'cache'}" and len(serving.requests) == 1


def test_a_broken_connection_is_resumed(server, tmp_path):
    serving, address = server
    data = weights(tmp_path)
    serving.content["/w.params"], serving.cut = data, 3000
    path, _ = weight_cache.obtain(source(f"{address}/w.params", data))
    assert path.read_bytes() == data and [begin for _, begin in serving.requests] == [0, 3000, 6000]


def test_an_interrupted_download_goes_on_in_the_next_command(server, tmp_path, monkeypatch):
    serving, address = server
    data = weights(tmp_path)
    serving.content["/w.params"], serving.cut = data, 2000
    monkeypatch.setattr(downloads, "ATTEMPTS", 1)
    wanted = source(f"{address}/w.params", data)
    with pytest.raises(downloads.Unreachable, match=f"w.params: the connection ended after 2,000 of {len(data):,} bytes"):
        weight_cache.obtain(wanted)
    assert not place(wanted).exists()
    serving.cut = None
    assert weight_cache.obtain(wanted)[0].read_bytes() == data and serving.requests[-1] == ("/w.params", 2000)


@pytest.mark.parametrize("known", [True, False])
def test_what_an_old_part_is_worth(server, tmp_path, known):
    serving, address = server
    data = weights(tmp_path)
    serving.content["/w.params"], serving.ranges = data, not known  # a server without ranges sends all again
    wanted = source(f"{address}/w.params", data, known=known)
    place(wanted).parent.mkdir(parents=True)
    place(wanted).with_name("w.params.part").write_bytes(data[:100] if known else b"of another file")
    assert weight_cache.obtain(wanted)[0].read_bytes() == data and serving.requests == [("/w.params", 0)]


def test_a_wrong_file_is_refused_and_removed(server, tmp_path):
    serving, address = server
    data = weights(tmp_path)
    serving.content["/w.params"] = b"not what was announced"
    wanted = source(f"{address}/w.params", data)
    with pytest.raises(ValueError, match=r"not the file of torchvision:net: sha256 [0-9a-f]{64}, expected"):
        weight_cache.obtain(wanted)
    assert [p.name for p in place(wanted).parent.iterdir()] == [".lock"]
    place(wanted).write_bytes(b"put there by hand, damaged")
    with pytest.raises(ValueError, match="w.params: not the file of torchvision:net"):
        weight_cache.obtain(wanted)
    assert place(wanted).exists()  # it is not ours to remove


def test_zip_archives_have_the_checksum_of_what_is_in_them(server, tmp_path):
    serving, address = server
    data = weights(tmp_path)
    with zipfile.ZipFile(str(tmp_path / "w.zip"), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("w.params", data)
    serving.content["/w.params.zip"] = (tmp_path / "w.zip").read_bytes()
    wanted = source(f"{address}/w.params.zip", data, "imgclsmob:net", algorithm="sha1")
    assert weight_cache.obtain(wanted)[0].name == "w.params.zip"
    place(wanted).unlink()
    place(wanted).with_name("w.params").write_bytes(data)  # unpacked by hand
    assert weight_cache.obtain(wanted)[0].name == "w.params"
    place(wanted).with_name("w.params").unlink()
    serving.content["/w.params.zip"] = serving.content["/w.params.zip"][:-40]
    with pytest.raises(ValueError, match="w.params.zip.part: a damaged archive .*not the file of imgclsmob:net"):
        weight_cache.obtain(wanted)


def test_the_order_of_sources_what_was_taken_and_why(server, tmp_path, monkeypatch, caplog):
    serving, address = server
    data = weights(tmp_path)
    serving.content["/w.params"] = data
    gone = source(f"{address}/gone.params", data, "imgclsmob:net")
    there = source(f"{address}/w.params", data)
    monkeypatch.setattr(sources, "SOURCES", (there, gone))
    caplog.set_level("INFO")
    chosen = choose("imagenet", "vgg16", ("imgclsmob", "torchvision"))
    assert chosen.init == "torchvision:net" and chosen.path == place(there)
    why = f"imgclsmob:net could not be had ({address}/gone.params: the server answers 404 Not Found); downloaded from"
    assert chosen.why.startswith(why) and f"weights: torchvision:net (MIT), {why}" in caplog.text
    assert chosen.record() == {"taken": "torchvision:net", "why": chosen.why, "file": str(place(there)),
                               "address": there.address}  # fmt: skip
    again = choose("imagenet", "vgg16", ("torchvision", "imgclsmob"))
    assert again.why == f"the first of the preset's sources; in {tmp_path}/cache"


def test_without_a_network_one_message_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("CIAN_WEIGHTS", str(tmp_path / "cache"))
    nowhere = Source("imgclsmob:net", "vgg16", "http://127.0.0.1:9/w.params.zip", "sha1:" + "0" * 40, None, 50.0, "MIT")
    monkeypatch.setattr(sources, "SOURCES", (nowhere,))
    with pytest.raises(RuntimeError) as error:
        choose("imagenet", "vgg16", ("imgclsmob",))
    for part in ("http://127.0.0.1:9/w.params.zip: ", "refused", "size unknown", "2024-09-06", "CIAN_WEIGHTS", "or give --init",
                 f"-> {tmp_path / 'cache' / 'imgclsmob' / 'w.params.zip'}"):  # fmt: skip
        assert part in str(error.value)


def test_a_training_starts_from_a_named_source_and_records_it(server, tmp_path, monkeypatch):
    """The whole way of --init: in Training, which all three trainings share."""
    from cian.config import Classifier
    from cian.training.tool import Training, add_training_options

    serving, address = server
    data = weights(tmp_path)
    serving.content["/w.params"] = data
    monkeypatch.setattr(sources, "SOURCES", (source(f"{address}/w.params", data),))
    import argparse

    parser = argparse.ArgumentParser()
    add_training_options(parser, Classifier)
    words = ["--data", "x", "--output", str(tmp_path / "run"), "--devices", "cpu", "--backbone", "vgg16"]
    for init in ([], ["--init", "torchvision:net"]):
        training = Training(parser.parse_args(words + init), Classifier.preset("voc12"), "cam")
        assert training.weights.init == "torchvision:net" and training.weights.path.read_bytes() == data
    assert mx.nd.load(str(training.weights.path))["conv0_weight"].shape == (2000,)
