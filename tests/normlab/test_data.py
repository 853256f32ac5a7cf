"""CIFAR-10 comes whole or not at all, and always with one line that says so. No network is used."""

import errno
import hashlib
import importlib.util
import io
import os
import pickle
import socket
import struct
import subprocess
import sys
import tarfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from normlab import data, shapes
from normlab.data import CLASSES, Archive, ImageData, cifar10, shapes10

NAMES = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
FALLBACK = (
    "Shapes-10: 10,000 training and 2,000 test images, "
    "drawn by code (CIFAR-10 was not found and could not be downloaded: {})"
)


# --- tiny copies of CIFAR-10 --------------------------------------------------------------------


def batch_pixels(name: str) -> np.ndarray:
    """Four images as the batch files hold them, uint8 [4, 3072]."""
    rng = np.random.default_rng(NAMES.index(name))
    return rng.integers(0, 256, (4, 3072), dtype=np.uint8)


def python2_pickle(pixels: np.ndarray, labels: list[int]) -> bytes:
    """What Python 2's cPickle wrote in 2009, opcode by opcode: Python 3 cannot write it."""

    def text(value: bytes) -> bytes:
        return b"U" + bytes([len(value)]) + value

    array = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85"
        + text(b"b")
        + b"\x87R"
        # The state: version, shape, dtype, Fortran order, bytes.
        + (b"(K\x01K" + bytes([len(pixels)]) + b"M\x00\x0c\x86")
        + (b"cnumpy\ndtype\n" + text(b"u1") + b"K\x00K\x01\x87R(K\x03" + text(b"|") + b"NNN")
        + b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        + (b"T" + struct.pack("<i", pixels.nbytes) + pixels.tobytes() + b"tb")
    )
    numbers = b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    return b"\x80\x02}(" + text(b"data") + array + text(b"labels") + numbers + b"u."


def harmful_pickle(folder: Path) -> bytes:
    """A pickle that makes `folder` when it is opened without care."""
    return (
        b"\x80\x02cos\nmkdir\nX" + struct.pack("<i", len(str(folder))) + bytes(folder) + b"\x85R."
    )


def batch_files() -> dict[str, bytes]:
    return {name: python2_pickle(batch_pixels(name), [0, 3, 6, 9]) for name in NAMES}


def pack(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in {**files, "readme.html": b"<html>"}.items():
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def describe(files: dict[str, bytes], packed: bytes = b"", *urls: str) -> Archive:
    md5 = {name: hashlib.md5(content).hexdigest() for name, content in files.items()}
    return Archive(urls, hashlib.sha256(packed).hexdigest(), len(packed), md5)


def write_batches(folder: Path, files: dict[str, bytes]) -> Path:
    (folder / "cifar-10-batches-py").mkdir(parents=True)
    for name, content in files.items():
        (folder / "cifar-10-batches-py" / name).write_bytes(content)
    return folder


def write_classes(folder: Path) -> dict[str, np.ndarray]:
    """Two training images and one test image of each class, in no order; return the pixels."""
    rng = np.random.default_rng(0)
    written = {}
    for path in [f"{split}/{c}/{n}" for split, n in SPLITS for c in reversed(CLASSES)]:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        written[path] = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(written[path]).save(folder / path)
    return written


SPLITS = (("train", "b.png"), ("train", "a.png"), ("test", "a.PNG"))


def assert_is_the_archive(images: ImageData) -> None:
    train = np.concatenate([batch_pixels(name) for name in NAMES[:5]])
    assert (images.name, images.classes) == ("CIFAR-10", CLASSES)
    assert_tensor(images.train_images, torch.uint8, train.reshape(20, 3, 32, 32))
    assert_tensor(images.train_labels, torch.int64, np.array([0, 3, 6, 9] * 5))
    assert_tensor(images.test_images, torch.uint8, batch_pixels("test_batch").reshape(4, 3, 32, 32))
    assert_tensor(images.test_labels, torch.int64, np.array([0, 3, 6, 9]))


def assert_tensor(tensor: Tensor, dtype: torch.dtype, values: np.ndarray) -> None:
    assert tensor.dtype == dtype
    assert np.array_equal(tensor.numpy(), values)


# --- the world around a test --------------------------------------------------------------------


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty cache, no proxy between the test and its server, and shapes that take no time."""
    for name in ("NORMLAB_DATA", "NORMLAB_CIFAR10"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NORMLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "*")
    blank = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    monkeypatch.setattr(
        shapes, "draw", lambda n, seed: (blank.expand(n, 3, 32, 32), torch.arange(n) % 10)
    )
    return tmp_path / "cache"


class Server(ThreadingHTTPServer):
    """Gives each path its own answer, and remembers what was asked for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[str, Callable[[Handler], None]] = {}
        self.log: list[str] = []
        self.over = threading.Event()  # ends the answers that never end

    def url(self, path: str, answer: "Callable[[Handler], None]") -> str:
        self.answers[path] = answer
        return f"http://127.0.0.1:{self.server_port}{path}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.end_headers()

    def do_GET(self) -> None:
        self.server.log.append(self.path)
        self.server.answers[self.path](self)

    def start(self, size: int) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(size))
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.over.set()
        server.shutdown()


def sends(body: bytes) -> Callable[[Handler], None]:
    def answer(handler: Handler) -> None:
        handler.start(len(body))
        handler.wfile.write(body)

    return answer


def breaks_off(body: bytes) -> Callable[[Handler], None]:
    def answer(handler: Handler) -> None:
        handler.start(len(body))
        handler.wfile.write(body[: len(body) // 2])

    return answer


def stalls(body: bytes) -> Callable[[Handler], None]:
    def answer(handler: Handler) -> None:
        breaks_off(body)(handler)
        handler.server.over.wait(30)

    return answer


def trickles(body: bytes) -> Callable[[Handler], None]:
    def answer(handler: Handler) -> None:
        handler.start(len(body))
        for byte in body:
            if handler.server.over.wait(0.05):
                return
            handler.wfile.write(bytes([byte]))

    return answer


def never_answers(handler: Handler) -> None:
    handler.server.over.wait(30)


def not_found(handler: Handler) -> None:
    handler.send_error(404)


@pytest.fixture
def tiny(server: Server) -> Archive:
    """A whole archive on a server that sends it."""
    packed = pack(batch_files())
    return describe(batch_files(), packed, server.url("/whole", sends(packed)))


@pytest.fixture
def load(capsys: pytest.CaptureFixture) -> Callable[..., tuple[ImageData, str]]:
    """Call cifar10 and return the data and the line, which must be the only one."""

    def call(*args: object, **kwargs: object) -> tuple[ImageData, str]:
        images = cifar10(*args, **{"connect_seconds": 10, **kwargs})
        out = capsys.readouterr().out
        assert out.count("\n") == 1 and out.endswith("\n")
        return images, out.strip()

    return call


def kept(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.iterdir()) if cache.is_dir() else []


# --- the network --------------------------------------------------------------------------------


def test_a_download_is_used_and_kept(load, tiny, server, cache):
    images, line = load(tiny)
    host = f"127.0.0.1:{server.server_port}"
    assert line == f"CIFAR-10: 20 training and 4 test images, downloaded from {host}"
    assert_is_the_archive(images)
    assert kept(cache) == ["cifar-10.npz"]

    images, line = load(tiny)
    assert line == "CIFAR-10: 20 training and 4 test images, from the cache"
    assert_is_the_archive(images)
    assert server.log == ["/whole"]


@pytest.mark.parametrize("first", [not_found, breaks_off(b"x" * 99), sends(b"no archive")])
def test_the_second_mirror_is_used_where_the_first_fails(load, tiny, server, cache, first):
    images, _ = load(replace(tiny, urls=(server.url("/first", first), *tiny.urls)))
    assert_is_the_archive(images)
    assert server.log == ["/first", "/whole"]
    assert kept(cache) == ["cifar-10.npz"]


def test_an_archive_that_changed_is_not_taken_from_the_cache(load, tiny, server):
    load(tiny)
    load(replace(tiny, sha256="0" * 64))
    assert server.log == ["/whole", "/whole"]


def test_a_truncated_download_is_rejected_and_leaves_no_file(load, tiny, server, cache):
    images, line = load(replace(tiny, urls=(server.url("/half", breaks_off(pack(batch_files()))),)))
    assert line.startswith(FALLBACK.format("127.0.0.1")[:-1])
    assert images.name == "Shapes-10"
    assert kept(cache) == []


def test_a_wrong_checksum_is_rejected_before_anything_is_opened(
    load, tiny, server, cache, tmp_path, monkeypatch
):
    packed = pack({name: harmful_pickle(tmp_path / "harm") for name in NAMES})
    opened = []
    monkeypatch.setattr(tarfile, "open", lambda **kwargs: opened.append("tar"))
    monkeypatch.setattr(pickle, "load", lambda *args, **kwargs: opened.append("pickle"))
    urls = (server.url("/other", sends(packed)),)
    _, line = load(replace(tiny, urls=urls, size=len(packed)))
    assert line == FALLBACK.format(f"127.0.0.1:{server.server_port}: wrong checksum")
    assert not opened
    assert not (tmp_path / "harm").exists()
    assert kept(cache) == []


def test_a_download_that_is_too_long_is_given_up(load, tiny, server, cache):
    urls = (server.url("/long", sends(b"x" * 10_000_000)),)
    _, line = load(replace(tiny, urls=urls))
    assert line == FALLBACK.format(f"127.0.0.1:{server.server_port}: wrong size")
    assert kept(cache) == []


@pytest.mark.parametrize("answer", [stalls(b"x" * 99), trickles(b"x" * 199), never_answers])
def test_a_server_that_stalls_or_trickles_is_given_up(load, tiny, server, cache, answer):
    start = time.monotonic()
    _, line = load(replace(tiny, urls=(server.url("/slow", answer),)), patience=0.4)
    assert line == FALLBACK.format(f"127.0.0.1:{server.server_port}: stalled or broke off")
    assert time.monotonic() - start < 3
    assert kept(cache) == []


def test_no_network_leads_to_shapes_within_five_seconds(tiny, cache, monkeypatch, capsys):
    lookup, over = socket.getaddrinfo, threading.Event()

    def slow_lookup(host: str, *args: object, **kwargs: object) -> list:
        if host == "slow.invalid":
            over.wait(30)
        return lookup(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", slow_lookup)
    with socket.create_server(("127.0.0.1", 0)) as silent, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound, but not listening: connections are refused
        hosts = [f"127.0.0.1:{s.getsockname()[1]}" for s in (closed, silent)]
        urls = tuple(f"http://{host}/x" for host in (*hosts, "nowhere.invalid", "slow.invalid"))
        start = time.monotonic()
        images = cifar10(replace(tiny, urls=urls))
        seconds = time.monotonic() - start
        over.set()
    assert capsys.readouterr().out == FALLBACK.format("no connection") + "\n"
    assert images.name == "Shapes-10"
    assert seconds < 5
    assert kept(cache) == []


def test_the_line_says_what_is_wrong_with_each_server(load, tiny, server):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{closed.getsockname()[1]}"
        _, line = load(replace(tiny, urls=(f"http://{host}/x", server.url("/gone", not_found))))
    other = f"127.0.0.1:{server.server_port}"
    assert line == FALLBACK.format(f"{host}: no connection; {other}: HTTP 404")


def test_two_processes_at_once_both_get_the_data(load, tiny, server, cache):
    both_have_asked = threading.Barrier(2, timeout=300)
    packed = pack(batch_files())

    def answer(handler: Handler) -> None:
        both_have_asked.wait()
        sends(packed)(handler)

    archive = replace(tiny, urls=(server.url("/together", answer),))
    code = (
        "from normlab.data import *\n"
        f"data = cifar10({archive!r}, patience=300)\n"
        "print(data.train_images.long().sum().item(), len(data.test_labels))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as other:
        images, line = load(archive, patience=300)
        out, _ = other.communicate(timeout=300)
    assert_is_the_archive(images)
    assert out.splitlines() == [line, f"{images.train_images.long().sum()} 4"]
    assert kept(cache) == ["cifar-10.npz"]


# --- the cache ----------------------------------------------------------------------------------


@pytest.fixture(params=["archive", "class folders"])
def source(request, tiny, tmp_path, monkeypatch) -> tuple[Archive, int]:
    """Both kinds of data that are cached: the archive, and the number of training images."""
    if request.param == "archive":
        return tiny, 20
    write_classes(tmp_path / "images")
    monkeypatch.setenv("NORMLAB_CIFAR10", str(tmp_path / "images"))
    return tiny, 20


def test_an_unwritable_cache_is_done_without(load, source, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("NORMLAB_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.warns(UserWarning, match="not kept in the cache"):
        images, line = load(source[0])
    assert line.startswith("CIFAR-10: 20 training")
    assert images.train_images.shape == (20, 3, 32, 32)
    assert (tmp_path / "file").read_bytes() == b""


def test_a_full_disk_leaves_no_partial_file(load, source, cache, monkeypatch):
    def save(path: Path, **arrays: object) -> None:
        path.write_bytes(b"half of it")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(np, "savez", save)
    with pytest.warns(UserWarning, match="No space left"):
        _, line = load(source[0])
    assert line.startswith("CIFAR-10: 20 training")
    assert kept(cache) == []


def test_an_interrupted_save_leaves_no_partial_file(source, cache, monkeypatch):
    def save(path: Path, **arrays: object) -> None:
        path.write_bytes(b"half of it")
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez", save)
    with pytest.raises(KeyboardInterrupt):
        cifar10(source[0])
    assert kept(cache) == []


def empty(content: bytearray) -> None:
    content.clear()


def cut(content: bytearray) -> None:
    del content[len(content) // 2 :]


def flip_a_pixel(content: bytearray) -> None:
    content[content.index(batch_pixels("data_batch_2").tobytes()) + 5] ^= 1


def replace_by_text(content: bytearray) -> None:
    content[:] = b"no tensors"


@pytest.mark.parametrize("damage", [empty, cut, flip_a_pixel, replace_by_text])
def test_a_damaged_cache_is_rebuilt(load, tiny, server, cache, damage):
    load(tiny)
    content = bytearray((cache / "cifar-10.npz").read_bytes())
    damage(content)
    (cache / "cifar-10.npz").write_bytes(content)
    with pytest.warns(UserWarning, match=r"cifar-10.npz in the cache cannot be used"):
        images, line = load(tiny)
    assert "downloaded" in line
    assert_is_the_archive(images)
    assert load(tiny)[1].endswith("from the cache")
    assert kept(cache) == ["cifar-10.npz"]


def test_a_harmful_cache_file_is_not_opened(load, tiny, cache, tmp_path):
    class Harm:
        def __reduce__(self) -> tuple:
            return os.mkdir, (str(tmp_path / "harm"),)

    cache.mkdir()
    np.savez(cache / "cifar-10.npz", key=np.array(Harm(), dtype=object))
    with pytest.warns(UserWarning, match="cannot be used"):
        images, _ = load(tiny)
    assert_is_the_archive(images)
    assert not (tmp_path / "harm").exists()


def test_the_cache_lies_where_the_variables_say(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert data._cache_file("x").parent == tmp_path / "cache"
    monkeypatch.delenv("NORMLAB_CACHE")
    assert data._cache_file("x").parent == tmp_path / "xdg" / "normlab"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert data._cache_file("x").parent == Path.home() / ".cache" / "normlab"


# --- a folder in torchvision's layout -----------------------------------------------------------


@pytest.mark.parametrize("inside", ["", "cifar-10-batches-py"])
def test_a_torchvision_folder_is_read(load, tmp_path, cache, monkeypatch, inside):
    folder = write_batches(tmp_path / "images", batch_files())
    monkeypatch.setenv("NORMLAB_CIFAR10", str(folder / inside))
    images, line = load(describe(batch_files()))
    assert line == "CIFAR-10: 20 training and 4 test images, from NORMLAB_CIFAR10"
    assert_is_the_archive(images)
    assert kept(cache) == []


def test_a_damaged_or_planted_batch_is_an_error_and_is_not_opened(tmp_path, monkeypatch):
    files = {**batch_files(), "data_batch_3": harmful_pickle(tmp_path / "harm")}
    folder = write_batches(tmp_path / "images", files)
    monkeypatch.setenv("NORMLAB_CIFAR10", str(folder))
    with pytest.raises(ValueError, match=r"data_batch_3 in .*images.* is damaged"):
        cifar10(describe(batch_files()))
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("gone", [["test_batch"], NAMES])
def test_a_missing_batch_is_an_error(tmp_path, monkeypatch, gone):
    folder = write_batches(tmp_path / "images", batch_files())
    for name in gone:
        (folder / "cifar-10-batches-py" / name).unlink()
    monkeypatch.setenv("NORMLAB_CIFAR10", str(folder))
    with pytest.raises(FileNotFoundError, match=r"images.* lacks .*test_batch: copy the folder"):
        cifar10(describe(batch_files()))


def test_the_checksums_are_those_of_torchvision():
    package = importlib.util.find_spec("torchvision").origin  # importing it takes seconds
    published = (Path(package).parent / "datasets" / "cifar.py").read_text()
    assert list(data.CIFAR10.md5) == NAMES
    for name, md5 in data.CIFAR10.md5.items():
        assert f'["{name}", "{md5}"]' in published
    assert f'"{data.CIFAR10.urls[-1]}"' in published


# --- the archive itself -------------------------------------------------------------------------


@pytest.fixture(params=["the archive", "its folder"])
def packed(request, tmp_path, monkeypatch) -> Path:
    """Where the archive is expected: NORMLAB_CIFAR10 names it, or the folder that holds it."""
    file = tmp_path / "images" / "cifar-10-python.tar.gz"
    file.parent.mkdir()
    named = file if request.param == "the archive" else file.parent
    monkeypatch.setenv("NORMLAB_CIFAR10", str(named))
    return file


def test_an_archive_is_unpacked(load, server, tiny, packed):
    packed.write_bytes(pack(batch_files()))
    images, line = load(replace(tiny, sha256=hashlib.sha256(packed.read_bytes()).hexdigest()))
    assert line == "CIFAR-10: 20 training and 4 test images, from NORMLAB_CIFAR10"
    assert_is_the_archive(images)
    assert server.log == [] and [p.name for p in packed.parent.iterdir()] == [packed.name]


def test_a_damaged_or_planted_archive_is_not_opened(tmp_path, tiny, packed, monkeypatch):
    packed.write_bytes(pack({name: harmful_pickle(tmp_path / "harm") for name in NAMES}))
    monkeypatch.setattr(tarfile, "open", lambda **kwargs: pytest.fail("opened"))
    with pytest.raises(
        ValueError, match=r"tar\.gz is not .* damaged \(wrong sha256\): copy it again"
    ):
        cifar10(tiny)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("layout", [write_batches, lambda folder, files: write_classes(folder)])
def test_a_folder_beside_the_archive_wins(load, tmp_path, monkeypatch, layout):
    layout(tmp_path / "images", batch_files())
    (tmp_path / "images" / "cifar-10-python.tar.gz").write_bytes(b"not looked at")
    monkeypatch.setenv("NORMLAB_CIFAR10", str(tmp_path / "images"))
    images, _ = load(describe(batch_files()))
    assert images.name == "CIFAR-10"


# --- no home directory --------------------------------------------------------------------------


@pytest.fixture
def homeless(monkeypatch):
    """A user that the system does not know, as in a container that runs under any number."""
    pwd = pytest.importorskip("pwd")
    for name in ("HOME", "XDG_CACHE_HOME", "NORMLAB_CACHE"):
        monkeypatch.delenv(name, raising=False)

    def unknown(user: int) -> None:
        raise KeyError(user)

    monkeypatch.setattr(pwd, "getpwuid", unknown)


def test_without_a_home_directory_a_folder_is_read_all_the_same(load, homeless, folder):
    write_classes(folder)
    with pytest.warns(UserWarning, match="not kept in the cache: .* set NORMLAB_CACHE") as caught:
        images, _ = load()
    assert len(images.train_images) == 20 and len(caught) == 1


def test_without_a_home_directory_a_download_is_used_all_the_same(load, homeless, tiny):
    with pytest.warns(UserWarning, match="not kept in the cache: .* set NORMLAB_CACHE"):
        images, _ = load(tiny)
    assert_is_the_archive(images)


def test_a_tilde_without_a_home_directory_is_a_wrong_path(homeless, monkeypatch):
    monkeypatch.setenv("NORMLAB_CIFAR10", "~/cifar10")
    with pytest.raises(FileNotFoundError, match=r"NORMLAB_CIFAR10=~.cifar10 is no folder"):
        cifar10()


# --- class folders ------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NORMLAB_CIFAR10", str(tmp_path / "images"))
    return tmp_path / "images"


def test_class_folders_are_decoded_once_in_the_order_of_the_alphabet(
    load, folder, cache, monkeypatch
):
    written = write_classes(folder)
    (folder / "train" / "cat" / "._a.png").write_bytes(b"macOS leaves such files")
    (folder / "train" / "notes").mkdir()
    for _ in range(2):
        images, line = load()
        assert line == "CIFAR-10: 20 training and 10 test images, from NORMLAB_CIFAR10"
        assert images.classes == CLASSES
        assert_tensor(images.train_labels, torch.int64, np.arange(10).repeat(2))
        assert_tensor(images.test_labels, torch.int64, np.arange(10))
        train = [written[f"train/{name}/{file}.png"] for name in CLASSES for file in "ab"]
        test = [written[f"test/{name}/a.PNG"] for name in CLASSES]
        assert_tensor(images.train_images, torch.uint8, np.stack(train).transpose(0, 3, 1, 2))
        assert_tensor(images.test_images, torch.uint8, np.stack(test).transpose(0, 3, 1, 2))
        assert len(kept(cache)) == 1
        monkeypatch.setattr(data, "_decode", lambda path: pytest.fail("decoded twice"))


def test_jpeg_files_are_decoded(load, folder):
    written = write_classes(folder)
    gradient = np.linspace(0, 255, 32).astype(np.uint8)[:, None, None] * np.uint8([1, 1, 1])
    Image.fromarray(np.broadcast_to(gradient, (32, 32, 3))).save(folder / "train/airplane/0.jpg")
    images, _ = load()
    assert len(images.train_images) == len(written) - 10 + 1
    assert (images.train_images[0].float() - torch.arange(32)[:, None] * 255 / 31).abs().max() < 5


def test_a_changed_folder_is_decoded_anew_into_the_same_file(load, folder, cache):
    write_classes(folder)
    before, _ = load()
    names = kept(cache)
    Image.new("RGB", (32, 32), (1, 2, 3)).save(folder / "train" / "airplane" / "a.png")
    after, _ = load()
    assert not torch.equal(before.train_images[0], after.train_images[0])
    assert after.train_images[0, :, 0, 0].tolist() == [1, 2, 3]
    assert kept(cache) == names


def test_an_image_replaced_by_one_of_equal_size_and_time_is_noticed(load, folder):
    write_classes(folder)
    path = folder / "train" / "airplane" / "a.png"
    other = folder / "other.png"
    Image.new("RGB", (32, 32), (1, 2, 3)).save(other)
    other.write_bytes(other.read_bytes().ljust(path.stat().st_size, b"\0"))
    load()
    before = path.stat()
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(path)
    after = path.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    images, _ = load()
    assert images.train_images[0, :, 0, 0].tolist() == [1, 2, 3]


def test_names_that_are_no_utf_8_are_read(load, folder):
    write_classes(folder)
    path = folder / "train" / "cat" / "a.png"
    try:
        path.rename(os.fsdecode(bytes(path.parent) + b"/caf\xe9.png"))
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    for _ in range(2):
        assert len(load()[0].train_images) == 20


@pytest.mark.parametrize("target", ["nowhere.png", "a.png"])
def test_a_link_that_leads_nowhere_is_an_error_that_names_it(folder, cache, target):
    write_classes(folder)
    path = folder.resolve() / "train" / "cat" / "a.png"
    path.unlink()
    path.symlink_to(target)
    with pytest.raises(
        FileNotFoundError, match="cannot be read .*: copy the folder again"
    ) as error:
        cifar10()
    assert str(error.value).startswith(str(path))
    assert kept(cache) == []


def corrupt(path: Path) -> None:
    path.write_bytes(b"no image")


def halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:1000])


def make_grey(path: Path) -> None:
    Image.new("L", (32, 32)).save(path)


def enlarge(path: Path) -> None:
    Image.new("RGB", (64, 32)).save(path)


def claim(path: Path, pixels: int) -> None:
    """Write an image that says of itself that it has so many pixels in a row, and holds few."""
    head = chunk(b"IHDR", struct.pack(">II5B", pixels, 1, 8, 2, 0, 0, 0))  # RGB, 8 bits each
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"")))


def chunk(kind: bytes, content: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + checksum


def bomb(path: Path) -> None:
    claim(path, 2 * Image.MAX_IMAGE_PIXELS + 1)


def small_bomb(path: Path) -> None:
    """Pillow opens it with a warning."""
    claim(path, 90_000_000)


def odd_text(path: Path) -> None:
    """Pillow raises a bare ValueError for a text that unpacks to more than it allows."""
    Image.new("RGB", (32, 32)).save(path, "PNG")
    text = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2**24)))
    content = path.read_bytes()
    path.write_bytes(content[:33] + text + content[33:])


@pytest.mark.filterwarnings("ignore:Image size")
@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (bomb, "is damaged or no image: copy the folder again"),
        (small_bomb, "is RGB 90000000x1: CIFAR-10 is RGB 32x32"),
        (odd_text, "is damaged or no image: copy the folder again"),
        (corrupt, "is damaged or no image: copy the folder again"),
        (halve, "is damaged or no image: copy the folder again"),
        (make_grey, "is L 32x32: CIFAR-10 is RGB 32x32"),
        (enlarge, "is RGB 64x32: CIFAR-10 is RGB 32x32"),
    ],
)
def test_a_bad_image_is_an_error_that_names_it(folder, cache, spoil, problem):
    write_classes(folder)
    path = folder.resolve() / "test" / "ship" / "a.PNG"
    spoil(path)
    with pytest.raises(ValueError) as error:
        cifar10()
    assert str(error.value) == f"{path} {problem}"
    assert kept(cache) == []


def test_a_missing_class_is_an_error_that_names_it(folder, cache):
    write_classes(folder)
    (folder / "test" / "frog").rename(folder / "test" / "toad")
    with pytest.raises(FileNotFoundError, match=r"test.frog is missing or holds no images"):
        cifar10()
    assert kept(cache) == []


@pytest.mark.parametrize("kind", ["nothing", "broken link", "empty folder"])
def test_a_wrong_path_is_an_error_that_names_it(folder, cache, kind):
    if kind == "broken link":
        folder.symlink_to("nowhere")
    elif kind == "empty folder":
        folder.mkdir()
    with pytest.raises(
        FileNotFoundError, match=r"NORMLAB_CIFAR10=.*images is no folder with CIFAR"
    ):
        cifar10()
    assert kept(cache) == []


# --- shapes -------------------------------------------------------------------------------------


def test_shapes_can_be_forced(load, folder, tiny, server, monkeypatch):
    monkeypatch.setenv("NORMLAB_DATA", "shapes")
    _, line = load(tiny)
    assert line == (
        "Shapes-10: 10,000 training and 2,000 test images, drawn by code (NORMLAB_DATA=shapes)"
    )
    assert server.log == []


def test_an_unknown_choice_is_an_error(monkeypatch):
    monkeypatch.setenv("NORMLAB_DATA", "shpaes")
    with pytest.raises(ValueError, match="NORMLAB_DATA=shpaes is unknown: set it to shapes"):
        cifar10()


def test_shapes10_has_the_types_and_sizes_of_cifar10(monkeypatch, capsys):
    monkeypatch.undo()
    images = shapes10()
    assert capsys.readouterr().out == (
        "Shapes-10: 10,000 training and 2,000 test images, drawn by code\n"
    )
    assert len(images.classes) == 10
    for pixels, labels, n in (
        (images.train_images, images.train_labels, 10_000),
        (images.test_images, images.test_labels, 2_000),
    ):
        assert (pixels.dtype, pixels.shape) == (torch.uint8, (n, 3, 32, 32))
        assert (labels.dtype, labels.shape) == (torch.int64, (n,))
        assert labels.unique().tolist() == list(range(10))
    assert not torch.equal(images.train_images[:2_000], images.test_images)
