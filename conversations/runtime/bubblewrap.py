"""The command line that starts a process in a sandbox. It knows flags, not what runs inside."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from conversations.exceptions import RuntimeUnavailableError

WORKSPACE = "/workspace"
#: Bytes of the private /tmp, which is memory.
TMP_BYTES = 1 << 30
SHM_BYTES = 64 << 20
#: Whom a server that runs as root becomes before it starts a sandbox. Root is exempt from process
#: limits, whatever name it has inside. Above the ranges that distributions hand out.
SANDBOX_UID = 79171

_INSTALL = (
    "Handrail runs commands in a sandbox and needs bubblewrap for it: install the package "
    "`bubblewrap` (Debian, Ubuntu: apt-get install bubblewrap), then start again."
)
#: Files of /etc that programs need and that say nothing of this machine.
_ETC = ("/etc/ld.so.cache", "/etc/alternatives", "/etc/ssl/certs", "/etc/localtime")
_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": WORKSPACE,
    "USER": "agent",
    "SHELL": "/bin/bash",
    "LANG": "C.UTF-8",
    "TERM": "dumb",
    "PAGER": "cat",
    "GIT_PAGER": "cat",
}
_ACCOUNTS = "root:x:0:0:root:/root:/bin/sh\nagent:x:1000:1000:agent:/workspace:/bin/bash\n"
_OWN_ETC = {
    "/etc/passwd": _ACCOUNTS,
    "/etc/group": "root:x:0:\nagent:x:1000:\n",
    "/etc/hosts": "127.0.0.1 localhost\n::1 localhost\n",
    "/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
}
# In a mount namespace of its own, so that the sandbox's user need not be able to walk down to the
# workspace: DATA_DIR may lie below a folder that is root's alone.
_AS_ROOT = (
    'mount --bind -- "$1" /mnt && shift && '
    f"exec setpriv --reuid={SANDBOX_UID} --regid={SANDBOX_UID} --clear-groups --no-new-privs "
    '-- "$@"'
)


def drops_root() -> bool:
    """Whether sandboxes run as another user than this process."""
    return os.geteuid() == 0


def sandbox_argv(
    workspace: Path,
    command: list[str],
    *,
    files: dict[str, int] | None = None,
    info: int | None = None,
) -> list[str]:
    """Give the argv that runs `command` in a sandbox on `workspace`.

    `files` maps a path inside to an inherited descriptor with the content; on `info` bubblewrap
    writes the pid of the sandbox's first process. No network, no host
    environment, no capability; everything in it dies with the thread that starts it.
    """
    source = "/mnt" if drops_root() else str(workspace)
    argv = ["bwrap", "--unshare-all", "--unshare-user", "--uid", "1000", "--gid", "1000"]
    argv += ["--cap-drop", "ALL", "--disable-userns", "--die-with-parent", "--clearenv"]
    argv += ["--hostname", "sandbox", *_system(), "--proc", "/proc", "--dev", "/dev"]
    argv += ["--size", str(SHM_BYTES), "--perms", "1777", "--tmpfs", "/dev/shm"]  # noqa: S108
    argv += ["--size", str(TMP_BYTES), "--perms", "1777", "--tmpfs", "/tmp"]  # noqa: S108  # inside
    argv += ["--bind", source, WORKSPACE, "--chdir", WORKSPACE]
    for name, value in _ENVIRONMENT.items():
        argv += ["--setenv", name, value]
    for path, descriptor in (files or {}).items():
        argv += ["--ro-bind-data", str(descriptor), path]
    # What is left of / and /dev is memory without a limit: nothing is written there.
    argv += ["--remount-ro", "/dev", "--remount-ro", "/"]
    if info is not None:
        argv += ["--info-fd", str(info)]
    argv += ["--", *command]
    if not drops_root():
        return argv
    in_namespace = ["unshare", "--mount", "--propagation", "private", "--", "sh", "-c", _AS_ROOT]
    return [*in_namespace, "sh", str(workspace), *argv]


def _system() -> list[str]:
    """Give the mounts of the read-only system: /usr, its old names, a few files of /etc."""
    mounts = ["--ro-bind", "/usr", "/usr"]
    for name in ("bin", "sbin", "lib", "lib32", "lib64"):
        path = Path("/", name)
        if path.is_symlink():
            mounts += ["--symlink", str(path.readlink()), str(path)]
        elif path.is_dir():
            mounts += ["--ro-bind", str(path), str(path)]
    for name in _ETC:
        mounts += ["--ro-bind-try", name, name]
    return mounts


def etc_files() -> dict[str, int]:
    """Give the sandbox's own files of /etc as fresh descriptors; the caller closes them."""
    return {path: memory_file(text) for path, text in _OWN_ETC.items()}


def memory_file(text: str) -> int:
    """Give a descriptor from which `text` can be read once; the caller closes it."""
    descriptor = os.memfd_create("handrail")
    os.write(descriptor, text.encode())
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def check_bubblewrap() -> None:
    """Start one sandbox. Raises RuntimeUnavailableError that says what is missing."""
    needed = ["bwrap", "setsid", *(["unshare", "mount", "setpriv"] if drops_root() else [])]
    for command in needed:
        if shutil.which(command) is None:
            missing = f"The sandbox needs the command {command}: install the package util-linux."
            raise RuntimeUnavailableError(_INSTALL if command == "bwrap" else missing)
    try:
        done = subprocess.run(  # noqa: S603  # our own command line
            sandbox_argv(Path("/usr"), ["true"]), capture_output=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        message = f"The sandbox cannot be started: {error}"
        raise RuntimeUnavailableError(message) from error
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip() or f"exit code {done.returncode}"
        message = (
            f"bubblewrap cannot start a sandbox here: {said}. It needs user namespaces "
            "(sysctl kernel.unprivileged_userns_clone=1, user.max_user_namespaces > 0); a "
            "container has to be allowed them: docs/deploying.md, “In containers”."
        )
        raise RuntimeUnavailableError(message)
