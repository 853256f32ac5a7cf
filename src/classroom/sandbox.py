"""Run the code of a submission where it can do no harm: a kernel inside bubblewrap.

The kernel sees the Python environment, read-only, and an empty folder of its own. It has no network
and sees no other process, no home folder, no gradebook and no other submission. Cells reach it and
outputs leave it through Unix sockets. `Watch` kills it when it takes more than its share.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import zmq
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from traitlets import Bool, default

MEGABYTE = 2**20
HOME = "/home/student"  # inside
INTERVAL = 0.2  # seconds between two looks at what a submission uses

# Programs and libraries. Where an entry is missing on a system, it is left out.
SYSTEM = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store"]
SETTINGS = ["/etc/ld.so.cache", "/etc/alternatives", "/etc/localtime", "/etc/fonts"]


class SandboxError(RuntimeError):
    """Student code cannot be run safely on this machine."""


@dataclass(frozen=True)
class Limits:
    """What the code of one submission may use."""

    cell_seconds: int = 30
    notebook_seconds: int = 240
    memory: int = 3000 * MEGABYTE  # bytes of all its processes together
    processes: int = 32
    files: int = 64 * MEGABYTE  # bytes of one file, and of each folder that it can write to
    output: int = 100_000  # characters of one cell


def available() -> str:
    """Return why the sandbox does not work here; the empty string where it does."""
    if not sys.platform.startswith("linux"):
        return f"bubblewrap needs Linux, and this is {sys.platform}"
    for program, package in (("bwrap", "bubblewrap"), ("prlimit", "util-linux")):
        if not shutil.which(program):
            return f"there is no {program}: install the package {package}"
    with tempfile.TemporaryDirectory() as folder:
        command = [*inside(Path(folder), Limits()), "true"]
        attempt = subprocess.run(command, capture_output=True, text=True)
        if attempt.returncode:
            return (
                f"bwrap cannot make a sandbox ({attempt.stderr.strip()}). Where Ubuntu forbids it: "
                "sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0"
            )
    return ""


def inside(connection: Path, limits: Limits, package: Path | None = None) -> list[str]:
    """Return the command that runs what follows it inside the sandbox.

    Args:
        connection: the one folder shared with the outside, for the sockets of the kernel.
        limits: what may be used.
        package: the parts of normlab that the assignment brings along.
    """
    python = [sys.prefix, sys.base_prefix]  # of the environment, and what that was made from
    # A session of its own gets its share of the processor from Linux, not one for each process of a
    # fork bomb.
    command = ["bwrap", "--unshare-all", "--die-with-parent", "--new-session"]
    command += ["--cap-drop", "ALL", "--hostname", "grading"]
    for path in [*SYSTEM, *SETTINGS]:
        command += ["--ro-bind-try", path, path]
    command += ["--proc", "/proc", "--dev", "/dev"]
    for path in ("/tmp", "/dev/shm", HOME):
        command += ["--size", str(limits.files), "--tmpfs", path]
    for path in python:  # after the empty folders: a project may lie in /tmp
        command += ["--ro-bind", path, path]
    if package:
        command += ["--ro-bind", str(package), f"{HOME}/normlab"]
    command += ["--bind", str(connection), str(connection), "--chdir", HOME]
    command += ["--remount-ro", "/dev", "--remount-ro", "/", "--"]
    # Bytes of memory a process can ask for, bytes of a file, no file of a crash.
    command += ["prlimit", f"--data={limits.memory}", f"--fsize={limits.files}", "--core=0", "--"]
    return command


def environment() -> dict[str, str]:
    """Return all environment variables that the code can see."""
    return {
        "HOME": HOME,
        "USER": "student",
        "LANG": "C.UTF-8",
        "PATH": f"{sys.prefix}/bin:/usr/bin:/bin",
        "MPLBACKEND": "agg",
        "MPLCONFIGDIR": "/tmp",
        "NORMLAB_DATA": "shapes",
        "TQDM_DISABLE": "1",
        "OMP_NUM_THREADS": "1",  # submissions are graded side by side, one to a core
        "OMP_WAIT_POLICY": "PASSIVE",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }


class SandboxedKernelManager(AsyncKernelManager):
    """Starts the Python kernel of this environment in the sandbox, or without if told so."""

    sandbox = Bool(True, help="Whether the kernel runs in bubblewrap.").tag(config=True)
    limits = Limits()
    package: Path | None = None

    @default("transport")
    def _transport(self) -> str:
        return "ipc"

    def __init__(self, **kwargs) -> None:
        super().__init__(**kwargs)
        # The paths of sockets must be short: 108 characters.
        self.folder = tempfile.TemporaryDirectory(prefix="k", dir="/tmp")
        self.connection_file = os.path.join(self.folder.name, "k.json")
        self._kernel_spec = KernelSpec(
            argv=[f"{sys.prefix}/bin/python", "-m", "ipykernel_launcher", "-f", "{connection_file}"]
            # Inside, the kernel cannot see the process that it would end with.
            + ["--IPKernelApp.parent_handle=0"],
            language="python",
            display_name="Python in a sandbox",
        )

    def client(self, **kwargs):
        client = super().client(**kwargs)
        client.context.setsockopt(zmq.MAXMSGSIZE, self.limits.files)  # larger ones never arrive
        return client

    def format_kernel_cmd(self, extra_arguments: list[str] | None = None) -> list[str]:
        command = super().format_kernel_cmd(extra_arguments)
        if self.sandbox:
            command = inside(Path(self.folder.name), self.limits, self.package) + command
        return command

    async def _async_pre_start_kernel(self, **kwargs):
        silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return await super()._async_pre_start_kernel(**kwargs, **silent, env=environment())

    async def _async_cleanup_resources(self, restart: bool = False) -> None:
        await super()._async_cleanup_resources(restart)
        self.folder.cleanup()

    cleanup_resources = _async_cleanup_resources


class Watch(threading.Thread):
    """Kill a kernel that takes more than its share, and remember why."""

    def __init__(self, manager: SandboxedKernelManager, deadline: float) -> None:
        super().__init__(daemon=True)
        self.manager, self.deadline = manager, deadline
        self.process = psutil.Process(manager.provisioner.pid)
        self.reason, self.ended = "", threading.Event()

    def __enter__(self) -> "Watch":
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.ended.set()
        self.join()

    def run(self) -> None:
        while not self.ended.wait(INTERVAL):
            with contextlib.suppress(psutil.NoSuchProcess):
                if reason := self.excess():
                    self.reason = reason
                    self.kill()
                    return

    def excess(self) -> str:
        """Return what is too much; the empty string while nothing is."""
        limits = self.manager.limits
        processes = [self.process, *self.process.children(recursive=True)]
        files = sum(path.stat().st_size for path in Path(self.manager.folder.name).iterdir())
        if time.monotonic() > self.deadline:
            return f"the whole notebook took more than {limits.notebook_seconds} seconds"
        if len(processes) > limits.processes:
            return f"it started more than {limits.processes} processes"
        # The exact number takes long, and is needed only where the rough one is too large.
        if memory(processes) > limits.memory and memory(processes, exact=True) > limits.memory:
            return f"it used more than {limits.memory // MEGABYTE:,} MB of memory"
        if files > limits.files:
            return f"it wrote more than {limits.files // MEGABYTE} MB of files"
        return ""

    def kill(self) -> None:
        # With the first process of the sandbox, all others in it end.
        for process in [*self.process.children(recursive=True)[:1], self.process]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)


def memory(processes: list[psutil.Process], exact: bool = False) -> int:
    """Return the bytes that processes use; exactly: what they share is counted once."""
    total = 0
    for process in processes:
        with contextlib.suppress(psutil.Error):
            if exact:
                total += process.memory_full_info().pss
            else:
                use = process.memory_info()
                total += use.rss - use.shared
    return total
