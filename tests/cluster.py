"""A Slurm cluster on one machine, for tests: munged, slurmctld and slurmd in a folder of its own.

    python -m tests.cluster sbatch --wait job.sh       start it, run a command with it, stop it

Nothing of the system's configuration is used or changed. Debian and Ubuntu: apt install slurm-wlm.
It needs root, as slurmd does.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")
PATH = f"{os.environ['PATH']}:/usr/sbin"
SECONDS = 30  # in which the node must be there
CONFIGURATION = """
ClusterName=course
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
# Without control groups, which a container may not give away.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
MpiDefault=none
ReturnToService=2
KillWait=5
PartitionName=all Nodes=ALL Default=YES State=UP OverSubscribe=NO
"""
# Each node has a daemon and a port of its own. Its name is an address, which all can look up.
NODE = "NodeName={name} NodeHostname={host} Port={port} CPUs={cpus} RealMemory={memory}\n"


def missing() -> str:
    """Return why there can be no cluster here; the empty string where there can."""
    absent = [name for name in PROGRAMS if not shutil.which(name, path=PATH)]
    if absent:
        return f"there is no {', '.join(absent)}: install the package slurm-wlm"
    return "" if os.geteuid() == 0 else "slurmd needs root"


@contextlib.contextmanager
def cluster(nodes: int = 1) -> Iterator[dict[str, str]]:
    """Start the nodes; yield the environment in which sbatch and the others find them."""
    with tempfile.TemporaryDirectory(prefix="slurm") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)  # munged trusts no folder that others could write to
        names = [f"127.0.0.{i + 1}" for i in range(nodes)]
        for part in ("state", *(f"spool-{name}" for name in names)):
            folder.joinpath(part).mkdir()
        key = folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        controller, *ports = free_ports(1 + nodes)
        configuration = folder / "slurm.conf"
        host = socket.gethostname().split(".")[0]
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
        text = CONFIGURATION.format(host=host, controller=controller, folder=folder)
        for node, port in zip(names, ports, strict=True):
            text += NODE.format(
                name=node, host=host, port=port, cpus=os.cpu_count(), memory=memory // nodes
            )
        configuration.write_text(text)
        environment = os.environ | {"SLURM_CONF": str(configuration), "PATH": PATH}
        munged = ["munged", "--foreground", f"--key-file={key}", f"--socket={folder}/munge.socket"]
        munged += [f"--pid-file={folder}/munged.pid", f"--log-file={folder}/munged.log"]
        munged += [f"--seed-file={folder}/munge.seed", "--force"]
        daemons = [["slurmd", "-D", "-N", name] for name in names]
        for command in (munged, ["slurmctld", "-D"], *daemons):
            stack.enter_context(daemon_of(command, environment))
        end = time.monotonic() + SECONDS
        while state(environment).split() != ["idle"] * nodes:
            if time.monotonic() > end:
                logs = [path.read_text()[-2000:] for path in sorted(folder.glob("*.log"))]
                raise TimeoutError(
                    "\n\n".join([f"nodes are not idle: {state(environment)!r}", *logs])
                )
            time.sleep(0.2)
        yield environment


@contextlib.contextmanager
def daemon_of(command: list[str], environment: dict[str, str]) -> Iterator[None]:
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def state(environment: dict[str, str]) -> str:
    """Return what Slurm says of each node; nothing before it answers."""
    command = ["sinfo", "--noheader", "--Node", "--format=%T"]
    return subprocess.run(command, env=environment, capture_output=True, text=True).stdout


def free_ports(number: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


if __name__ == "__main__":
    if reason := missing():
        sys.exit(reason)
    with cluster() as surroundings:
        sys.exit(subprocess.run(sys.argv[1:], env=surroundings).returncode)
