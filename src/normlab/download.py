"""Download a file whole and verified, in bounded time, or say why not.

A library such as pooch verifies checksums too, but its only guard is the time-out of a socket. That
is none against a name server that never answers, and a byte now and then resets it.
"""

import hashlib
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from typing import BinaryIO
from urllib.parse import urlsplit

import requests
from tqdm import tqdm
from urllib3.exceptions import HTTPError

MIN_RATE = 100_000  # bytes per second; at half of it CIFAR-10 would take an hour


def download(
    urls: Sequence[str],
    file: BinaryIO,
    *,
    sha256: str,
    size: int,
    connect_seconds: float = 3.0,
    patience: float = 15.0,
) -> str:
    """Write to `file` what the first server delivers that has it, and return the server's name.

    Args:
        urls: copies of the same file, tried in this order.
        file: open for writing; its position is 0 afterwards.
        sha256: of the content, hexadecimal.
        size: of the content, in bytes.
        connect_seconds: how long all servers together may take to answer at all.
        patience: seconds after which a download that stalls or crawls is given up.

    Raises:
        ConnectionError: no server delivers; says in a few words what is wrong with each.
    """
    # All servers are asked at once whether they are there: without a network the answer is quick.
    probes = {url: _in_background(requests.head, url, timeout=connect_seconds) for url in urls}
    wait(probes.values(), timeout=connect_seconds)
    reasons = {}
    for url, probe in probes.items():
        host = urlsplit(url).netloc
        if not probe.done() or probe.exception():
            reasons[host] = "no connection"
            continue
        try:
            _receive(url, file, sha256, size, patience)
            return host
        except (TimeoutError, requests.RequestException, HTTPError):
            reasons[host] = "stalled or broke off"
        except OSError as error:
            reasons[host] = str(error)
    if set(reasons.values()) <= {"no connection"}:
        raise ConnectionError("no connection")
    raise ConnectionError("; ".join(f"{host}: {reason}" for host, reason in reasons.items()))


def _receive(url: str, file: BinaryIO, sha256: str, size: int, patience: float) -> None:
    """Write what `url` sends to `file`; raise OSError or HTTPError unless it is the right file."""
    request = _in_background(
        requests.get, url, stream=True, timeout=patience, headers={"Accept-Encoding": "identity"}
    )
    bar = tqdm(desc="downloading", total=size, unit="B", unit_scale=True, leave=False)
    with request.result(timeout=patience) as response, bar:
        if response.status_code != 200:
            raise ConnectionError(f"HTTP {response.status_code}")
        file.seek(0)
        file.truncate()
        digest = hashlib.sha256()
        start, received = time.monotonic(), 0
        # read1 returns what has arrived: a full block could take forever to fill.
        while chunk := response.raw.read1(2**16):
            file.write(chunk)
            digest.update(chunk)
            bar.update(len(chunk))
            if file.tell() > size:
                raise ConnectionError("wrong size")
            received += len(chunk)
            if time.monotonic() - start > patience:
                if received < MIN_RATE * patience:
                    raise TimeoutError
                start, received = time.monotonic(), 0
    if digest.hexdigest() != sha256:
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
