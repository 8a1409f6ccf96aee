"""Read and change files of a workspace, each in a short-lived sandbox of its own.

Inside the sandbox there is nothing but the workspace to find: no path, link or race leads out,
because no file of this machine is there to be led to.
"""

from __future__ import annotations

import asyncio
import difflib
import os
import posixpath
from pathlib import Path

from conversations.events.actions import EditAction, ReadAction, WriteAction
from conversations.events.base import Observation
from conversations.events.observations import (
    EditObservation,
    ErrorObservation,
    ReadObservation,
    WriteObservation,
)
from conversations.runtime.bubblewrap import WORKSPACE, sandbox_argv

#: Bytes of a file that is read or edited.
MAX_BYTES = 1_000_000
#: Lines around a change that its observation shows.
CONTEXT_LINES = 4
#: Characters of a folder's listing, and of a diff.
MAX_TEXT = 30_000
SECONDS = 30.0

# The path comes in as $1, so it is never read as a part of the script.
_READ = f"""
if [ -d "$1" ]; then printf d; cd -- "$1" && find . -mindepth 1 -maxdepth 2 -not -path '*/.*' \
-printf '%P%y\\0'
elif [ -f "$1" ]; then printf f; head -c {MAX_BYTES + 1} -- "$1"
elif [ -e "$1" ]; then printf o
else printf m; fi
"""
# A pipe or a device would hold the write up for ever.
_WRITE = """
if [ -e "$1" ] && [ ! -f "$1" ]; then echo "it is not a file" >&2; exit 1; fi
mkdir -p -- "$(dirname -- "$1")" && cat > "$1"
"""


class FileError(Exception):
    """A file operation that cannot be done; the message is for the agent."""


def _resolve(path: str) -> str:
    """Give the absolute path inside. Raises FileError outside of the workspace."""
    full = posixpath.normpath(posixpath.join(WORKSPACE, path))
    if full != WORKSPACE and not full.startswith(WORKSPACE + "/"):
        message = f"{path} is outside of {WORKSPACE}; only files below it can be reached."
        raise FileError(message)
    if "\0" in full or full.encode(errors="ignore").decode() != full:
        message = f"{path!a} is not a path."
        raise FileError(message)
    return full


async def _in_sandbox(workspace: Path, script: str, path: str, data: bytes = b"") -> bytes:
    """Run a script on a path in a fresh sandbox; give its output. Raises FileError.

    Cancelled, it kills the sandbox.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *sandbox_argv(workspace, ["sh", "-c", script, "sh", path]),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd="/",
            env={"PATH": os.defpath},
        )
    except OSError as error:
        message = f"{path}: the sandbox could not be started: {error}"
        raise FileError(message) from error
    try:
        async with asyncio.timeout(SECONDS):
            output, errors = await process.communicate(data)
    except TimeoutError as error:
        message = f"{path}: the sandbox did not answer in {SECONDS:g} seconds."
        raise FileError(message) from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        said = errors.decode(errors="replace").strip()
        message = f"{path}: {said or f'exit code {process.returncode}'}"
        raise FileError(message)
    return output


def _text(path: str, data: bytes) -> str:
    if len(data) > MAX_BYTES:
        message = f"{path} is larger than {MAX_BYTES:,} bytes; look at parts of it with bash."
        raise FileError(message)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        message = f"{path} is not a text file in UTF-8."
        raise FileError(message) from error
    if "\0" in text:
        message = f"{path} is a binary file."
        raise FileError(message)
    return text


async def _existing(workspace: Path, path: str) -> tuple[str, str] | None:
    """Give what is at a path: its kind (file or folder) and its text; None for nothing."""
    answer = await _in_sandbox(workspace, _READ, path)
    kind, data = answer[:1], answer[1:]
    if kind == b"m":
        return None
    if kind == b"d":
        return "folder", data.decode(errors="replace")
    if kind == b"f":
        return "file", _text(path, data)
    message = f"{path} is neither a file nor a folder."
    raise FileError(message)


def _lines(text: str) -> list[str]:
    """Split as every editor numbers lines: at newlines, and at nothing else that Unicode knows."""
    lines = text.split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def _numbered(lines: list[str], first: int) -> str:
    return "\n".join(f"{number:6}\t{line}" for number, line in enumerate(lines, start=first))


async def _read(workspace: Path, action: ReadAction) -> Observation:
    path = _resolve(action.path)
    found = await _existing(workspace, path)
    if found is None:
        message = f"{path} does not exist."
        raise FileError(message)
    kind, text = found
    if kind == "folder":
        names = [
            posixpath.join(path, name[:-1]) + ("/" if name[-1] == "d" else "")
            for name in text.split("\0")
            if name
        ]
        listing = "\n".join([f"{path}/", *sorted(names)])
        return ReadObservation(path=path, content=listing[:MAX_TEXT])
    lines = _lines(text)
    first = max(action.start, 1)
    last = len(lines) if action.end < 0 else min(action.end, len(lines))
    if lines and (first > len(lines) or last < first):
        message = f"{path} has {len(lines)} lines; {first} to {action.end} is not among them."
        raise FileError(message)
    return ReadObservation(path=path, content=_numbered(lines[first - 1 : last], first))


async def _write(workspace: Path, path: str, text: str) -> None:
    await _in_sandbox(workspace, _WRITE, path, text.encode(errors="replace"))


def _replaced(path: str, text: str, action: EditAction) -> tuple[str, int]:
    """Give the text after str_replace, and the line where it changed (from 1)."""
    old, new = action.old_str or "", action.new_str or ""
    count = text.count(old) if old else 0
    if count != 1:
        where = [str(n) for n, line in enumerate(_lines(text), 1) if old.split("\n")[0] in line]
        message = (
            f"old_str does not occur in {path}."
            if count == 0
            else f"old_str occurs {count} times in {path} (lines {', '.join(where[:20])}); "
            "give more of what is around it."
        )
        raise FileError(message if old else "old_str is empty.")
    at = text.index(old)
    return text[:at] + new + text[at + len(old) :], text.count("\n", 0, at) + 1


def _inserted(path: str, text: str, action: EditAction) -> tuple[str, int]:
    """Give the text with new_str after insert_line, and the line where it changed (from 1)."""
    lines = text.split("\n")
    lines = [line + "\n" for line in lines[:-1]] + [line for line in lines[-1:] if line]
    after = action.insert_line if action.insert_line is not None else -1
    if not 0 <= after <= len(lines):
        message = (
            f"{path} has {len(lines)} lines; insert_line takes 0 to {len(lines)}, not {after}."
        )
        raise FileError(message)
    if after and not lines[after - 1].endswith("\n"):
        lines[after - 1] += "\n"
    new = action.new_str or ""
    return "".join([*lines[:after], new.removesuffix("\n") + "\n", *lines[after:]]), after + 1


async def _edit(workspace: Path, action: EditAction) -> Observation:
    path = _resolve(action.path)
    if action.command == "undo_edit":
        message = "undo_edit is not supported; write the earlier text with str_replace."
        raise FileError(message)
    found = await _existing(workspace, path)
    if action.command == "create":
        return await _create(workspace, path, action, exists=found is not None)
    if found is None or found[0] != "file":
        message = f"{path} is a folder." if found else f"{path} does not exist."
        raise FileError(message)
    change = _replaced if action.command == "str_replace" else _inserted
    text, line = change(path, found[1], action)
    await _write(workspace, path, text)
    first = max(line - CONTEXT_LINES, 1)
    changed = (action.new_str or "").count("\n")
    snippet = _lines(text)[first - 1 : line + changed + CONTEXT_LINES]
    return EditObservation(
        path=path,
        content=f"{path} has been edited. Lines {first} and following are now:\n"
        f"{_numbered(snippet, first)}",
        diff=_diff(path, found[1], text),
    )


async def _create(workspace: Path, path: str, action: EditAction, *, exists: bool) -> Observation:
    if exists:
        message = f"{path} exists already; change it with str_replace."
        raise FileError(message)
    text = action.file_text or ""
    await _write(workspace, path, text)
    return EditObservation(
        path=path,
        content=f"{path} has been created.",
        diff=_diff(path, "", text),
        prev_exist=False,
    )


def _diff(path: str, before: str, after: str) -> str:
    name = path.removeprefix("/")
    lines = difflib.unified_diff(
        _lines(before), _lines(after), f"a/{name}", f"b/{name}", lineterm=""
    )
    return "\n".join(lines)[:MAX_TEXT]


async def do_file_action(
    workspace: Path, action: ReadAction | EditAction | WriteAction
) -> Observation:
    """Carry out a read, an edit or a write; what goes wrong is an ErrorObservation."""
    try:
        if isinstance(action, ReadAction):
            return await _read(workspace, action)
        if isinstance(action, EditAction):
            return await _edit(workspace, action)
        path = _resolve(action.path)
        await _write(workspace, path, action.content)
    except FileError as error:
        return ErrorObservation(content=str(error))
    return WriteObservation(path=path, content=f"{path} has been written.")
