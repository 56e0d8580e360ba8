"""A process that has imported all of lungseg, and forks a child of itself for every command line it is given.

Importing torch and lightning costs seconds; a fork costs milliseconds. Each child is a process of its own: it gets
real signals, has its own limits and mounts, and ends with a real exit code. Run as `python server.py`; requests and
answers are lines of JSON on stdin and stdout. This process starts no thread, or forking it would not be safe.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import resource
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

CLONE_NEWNS, CLONE_NEWUSER = 0x00020000, 0x10000000
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 32, 4096, 16384, 1 << 18


def serve() -> None:
    """Answer requests until stdin ends; when it does, no child is left behind."""
    children: set[int] = set()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what an import prints is no answer
    for module in ("commands.train", "commands.evaluate", "commands.predict", "commands.prepare", "report.html"):
        importlib.import_module(f"lungseg.{module}")
    importlib.import_module("lungseg.cli.composition")
    importlib.import_module("lightning.pytorch.trainer.trainer")
    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            pid, status, usage = os.wait4(request["wait"], os.WNOHANG)
            code = os.waitstatus_to_exitcode(status) if pid else None
            if pid:
                children.discard(pid)
            answer = {"code": code, "cpu": usage.ru_utime + usage.ru_stime}
        else:
            pid = os.fork()
            if not pid:
                os._exit(child(request))
            children.add(pid)
            answer = {"pid": pid}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
    for pid in children:
        os.kill(pid, signal.SIGKILL)


def child(request: dict[str, Any]) -> int:
    """Run one command line as `python -m lungseg` would."""
    os.setsid()
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        opened = os.open(
            request[name], os.O_RDONLY if name == "stdin" else os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644
        )
        os.dup2(opened, number)
    os.chdir(request["cwd"])
    os.environ.update(request["set"])
    for name in request["unset"]:
        os.environ.pop(name, None)
    for mount in request["mounts"]:
        mounted(**mount)
    if request["fsize"] is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["fsize"], request["fsize"]))
    sys.argv = ["lungseg", *request["argv"]]
    sys.path.insert(0, request["cwd"])
    try:
        for name, *arguments in request["before"]:
            getattr(importlib.import_module("moments"), name)(*arguments)
        code = importlib.import_module("lungseg.__main__").main()
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    for source, target in request["keep"]:  # a file system of the child's own ends with it
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        shutil.copytree(source, target)
    return int(code)


def mounted(folder: str, size: str | None) -> None:
    """Mount, for this process alone, a small file system of `size`, or `folder` itself read-only when None.

    Raises:
        OSError: this machine does not allow it.
    """
    libc = ctypes.CDLL(None, use_errno=True)

    def call(result: int) -> None:
        if result:
            raise OSError(ctypes.get_errno(), f"{folder}: {os.strerror(ctypes.get_errno())}")

    user, group = os.getuid(), os.getgid()
    if user:
        call(libc.unshare(CLONE_NEWUSER | CLONE_NEWNS))
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    else:
        call(libc.unshare(CLONE_NEWNS))
    call(libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None))
    target = os.fsencode(folder)
    if size is not None:
        call(libc.mount(b"tmpfs", target, b"tmpfs", 0, f"size={size}".encode()))
        return
    call(libc.mount(target, target, None, MS_BIND, None))
    call(libc.mount(None, target, None, MS_REMOUNT | MS_BIND | MS_RDONLY, None))


if __name__ == "__main__":
    serve()
