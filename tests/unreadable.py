"""What a process cannot read: files that fail for anybody, and permissions that bind this process, which may be root."""

import errno
import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree

import pytest

NOBODY = 65534


@contextmanager
def shared_folder():
    """A folder that other users may go into, unlike those of pytest."""
    folder = Path(tempfile.mkdtemp(prefix="lnet-test-"))
    folder.chmod(0o777)
    try:
        yield folder
    finally:
        rmtree(folder)


def act_as_another_user():
    """Give up the rights of root, if this process has them."""
    if os.geteuid() == 0:
        os.seteuid(NOBODY)


def act_as_before():
    os.seteuid(os.getuid())


@contextmanager
def another_user():
    """Let this process have no more rights than another user."""
    act_as_another_user()
    try:
        yield
    finally:
        act_as_before()


COMMAND = """
import os, resource, sys
import encodings.ascii, encodings.idna, encodings.utf_8_sig  # Python itself may lie where others may not look
import lnet.cli, lnet.runtime.train, lnet.runtime.analysis.report
from lnet.runtime.kernels.native import build
how, *arguments = sys.argv[1:]
import jax; jax.jit(lambda x: x + 1)(1.0)
if how == "as another user" and os.geteuid() == 0:
    os.setuid(65534)
if how == "with no file left":
    used = len(os.listdir("/proc/self/fd")) - 1
    resource.setrlimit(resource.RLIMIT_NOFILE, (used, used))
lnet.cli.main(arguments)
"""


def lnetc_restricted(how, *arguments):
    """Run `lnetc` in a process of its own that the system restricts; return it when it is done."""
    return subprocess.run(
        [sys.executable, "-c", COMMAND, how, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
    )


def is_a_folder(path):
    path.unlink()
    path.mkdir()


def leads_to_itself(path):
    path.unlink()
    path.symlink_to(path.name)


def cannot_be_read_through(path):
    """The system opens it and fails to read it: EIO, as from a broken disk."""
    path.unlink()
    path.symlink_to("/proc/self/mem")


FAILURES = {
    is_a_folder: errno.EISDIR,
    leads_to_itself: errno.ELOOP,
    cannot_be_read_through: errno.EIO,
}
failures = pytest.mark.parametrize("fail", FAILURES, ids=lambda fail: fail.__name__)
