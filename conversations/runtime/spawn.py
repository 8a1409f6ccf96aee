"""Starts a bash in a sandbox on a terminal of its own, with a pipe in and a pipe out.

Commands come in at descriptor 8, exit codes and directories go out at 9; shell.py speaks that.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import struct
import subprocess
import termios
from dataclasses import dataclass
from pathlib import Path

from conversations.runtime.bubblewrap import etc_files, memory_file, sandbox_argv

#: Seconds for bubblewrap to have made its namespaces; it takes milliseconds.
NAMESPACE_SECONDS = 5.0
# A server that a script has started in the background ignores Ctrl-C; what it starts must not.
_OWN_TERMINAL = ["/usr/bin/env", "--default-signal", "setsid", "--ctty"]
_RCFILE = "/etc/handrail.bashrc"
# The limits are set inside: set outside, a second sandbox of the same user could not start.
# What a command may have redirected, redefined or switched on must not reach the report of its end:
# hence /dev/tty, `builtin`, and the options that are switched off again.
_RC = r"""
ulimit -c 0; ulimit -n 1024; ulimit -u 512; ulimit -f 1048576; ulimit -v 8388608
set +o history; PS1=; PS2=
__handrail_run() {
    local __handrail_command
    IFS= builtin read -r -d '' __handrail_mark <&8 &&
    IFS= builtin read -r -d '' __handrail_command <&8 &&
    builtin printf '%s\0' "$__handrail_mark" >&9 &&
    builtin eval "$__handrail_command" </dev/null 8<&- 9>&-
    __handrail_done "$?"
}
__handrail_done() {
    { builtin set +ex; } 2>/dev/null
    PS1=; PS2=
    builtin printf '\n%s' "$__handrail_mark" >/dev/tty
    builtin printf '%s\0%s\0%s\0' "$__handrail_mark" "$1" "$PWD" >&9
}
"""


@dataclass(frozen=True, slots=True)
class Spawned:
    """A bash that is starting, and our ends of what leads to it."""

    process: subprocess.Popen[bytes]
    #: The first process inside; with it all others end.
    init_pid: int
    terminal: int
    commands: int
    results: int


def _pipe() -> tuple[int, int]:
    """Open a pipe with high numbers: bash moves our ends to 8 and 9, which must be free."""
    pair = os.pipe()
    high = tuple(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 64) for end in pair)
    for end in pair:
        os.close(end)
    return high[0], high[1]


def _terminal() -> tuple[int, int]:
    """Open a terminal that neither echoes nor rewrites lines, and keeps what is typed ahead."""
    ours, theirs = os.openpty()
    flags = termios.tcgetattr(theirs)
    flags[1] &= ~termios.ONLCR
    flags[3] = (flags[3] & ~(termios.ECHO | termios.ECHOCTL)) | termios.NOFLSH | termios.ISIG
    termios.tcsetattr(theirs, termios.TCSANOW, flags)
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
    return ours, theirs


def spawn_bash(workspace: Path) -> Spawned:
    """Start the sandbox from this thread, with whose end it would die. Raises OSError."""
    ours, theirs = _terminal()
    commands_in, commands = _pipe()
    results, results_out = _pipe()
    info, info_out = _pipe()
    files = {**etc_files(), _RCFILE: memory_file(_RC)}
    # The two pipes get fixed numbers inside; bash closes them for what it runs.
    renumber = f"exec 8<&{commands_in} 9>&{results_out} {commands_in}<&- {results_out}>&-"
    bash = ["bash", "--noprofile", "--noediting", "--rcfile", _RCFILE, "-i"]
    command = ["bash", "-c", f'{renumber}; exec "$@"', "bash", *bash]
    inherited = [commands_in, results_out, info_out, *files.values()]
    try:
        process = subprocess.Popen(  # noqa: S603  # our own command line
            [
                *_OWN_TERMINAL,
                *sandbox_argv(workspace, command, files=files, info=info_out),
            ],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            pass_fds=inherited,
            cwd="/",  # it would be told inside, as the first process's environment
            env={"PATH": os.defpath},
        )
    except OSError:
        for descriptor in (ours, commands, results, info):
            os.close(descriptor)
        raise
    finally:
        for descriptor in (theirs, *inherited):
            os.close(descriptor)
    return Spawned(process, _init_pid(info, process), ours, commands, results)


def _init_pid(info: int, process: subprocess.Popen[bytes]) -> int:
    """Read who is the sandbox's first process; bubblewrap says it at once, or dies."""
    text = b""
    with open(info, "rb", buffering=0) as stream:
        # To its end: closed before, it would kill bubblewrap, which writes it in pieces.
        while select.select([stream], [], [], NAMESPACE_SECONDS)[0]:
            piece = stream.read(4096)
            if not piece:
                break
            text += piece
    try:
        return int(json.loads(text)["child-pid"])
    except (ValueError, KeyError):
        return process.pid
