"""Workspaces seen from outside: what is given, and that nothing of this machine is."""

from __future__ import annotations

import io
import os
import socket
import zipfile
from pathlib import Path

import pytest

from conversations.exceptions import FileUnreadableError
from conversations.runtime.workspace_files import file_text, folder_list, workspace_zip

SECRET = "a secret of this machine"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text(SECRET)
    root = tmp_path / "workspace"
    root.mkdir()
    return root


def unzipped(root: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(b"".join(workspace_zip(root)))) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def test_a_folder_shows_folders_first_and_whole_paths(root: Path) -> None:
    for path in ("b.txt", "A.txt", "src/main.py", "src/pkg/x.py", ".env", ".git/config"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(path)
    assert folder_list(root) == ["src/", ".env", "A.txt", "b.txt"]
    assert folder_list(root, "src") == ["src/pkg/", "src/main.py"]
    assert (
        folder_list(root, "src/")
        == folder_list(root, "/workspace/src")
        == ["src/pkg/", "src/main.py"]
    )
    assert folder_list(root, "/workspace") == folder_list(root)
    assert file_text(root, "src/main.py") == file_text(root, "/workspace/src/main.py")
    assert unzipped(root)["src/pkg/x.py"] == b"src/pkg/x.py"


def test_what_gitignore_leaves_out_is_not_listed_and_is_in_the_zip(root: Path) -> None:
    (root / ".gitignore").write_text("*.log\nbuild/\n!keep.log\n")
    for path in ("a.log", "keep.log", "build/x.o", "src/b.log", "src/c.py"):
        (root / path).parent.mkdir(exist_ok=True)
        (root / path).write_text(path)
    assert folder_list(root) == ["src/", ".gitignore", "keep.log"]
    assert folder_list(root, "src") == ["src/c.py"]
    assert folder_list(root, "build") == []
    assert unzipped(root)["build/x.o"] == b"build/x.o"


def test_a_workspace_that_was_never_made_is_empty(tmp_path: Path) -> None:
    assert folder_list(tmp_path / "none") == []
    assert unzipped(tmp_path / "none") == {}
    with pytest.raises(FileUnreadableError, match="No such file"):
        file_text(tmp_path / "none", "x")


@pytest.mark.parametrize(
    "path",
    [
        "../outside/secret",
        "a/../../outside/secret",
        "/etc/hostname",
        "/workspace/../outside/secret",
        "/workspacex/secret",
        "link",
        "linked/secret",
        "linked",
        "pipe",
        "socket",
        "folder",
        "",
        ".",
        "/",
        "/workspace",
        "missing",
        "file/below",
        "x" * 300,
        "a/" * 5000,
        "nul\0byte",
        "\ud800",
        "binary",
        "huge",
    ],
)
def test_what_is_no_text_inside_is_refused_in_words(root: Path, path: str) -> None:
    outside = root.parent / "outside"
    (root / "link").symlink_to(outside / "secret")
    (root / "linked").symlink_to(outside)
    (root / "folder").mkdir()
    (root / "file").write_text("x")
    (root / "binary").write_bytes(b"\xff\xfe")
    (root / "huge").write_bytes(b"x" * 5_000_001)
    os.mkfifo(root / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        # Its address may be too long for a socket: so by a short way.
        before = Path.cwd()
        os.chdir(root)
        listener.bind("socket")
        os.chdir(before)
        with pytest.raises(FileUnreadableError) as caught:
            file_text(root, path)
    assert SECRET not in str(caught.value)
    assert len(str(caught.value)) < 600
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("path", ["linked", "../outside", "/etc", "file", "missing", "a\0b"])
def test_what_is_no_folder_inside_is_not_listed(root: Path, path: str) -> None:
    (root / "linked").symlink_to(root.parent / "outside")
    (root / "file").write_text("x")
    with pytest.raises(FileUnreadableError):
        folder_list(root, path)


def test_names_of_any_bytes_are_shown_and_packed(root: Path) -> None:
    for raw in (b"\xff.txt", b"a\\..\\b", "größe 字".encode(), b"-rf", b"new\nline"):
        Path(os.fsdecode(bytes(root) + b"/" + raw)).write_bytes(b"x")
    shown = folder_list(root)
    assert len(shown) == 5
    for name in shown:
        name.encode()
    assert all("\\" not in name for name in unzipped(root))


def test_links_pipes_and_closed_files_do_not_stop_a_zip(root: Path) -> None:
    (root / "link").symlink_to(root.parent / "outside" / "secret")
    (root / "linked").symlink_to(root.parent / "outside")
    (root / "loop").symlink_to(".")
    os.mkfifo(root / "pipe")
    (root / "kept").write_text("kept")
    os.utime(root / "kept", (0, 0))
    packed = unzipped(root)
    assert packed == {"kept": b"kept"}


def test_a_folder_of_folders_is_packed_as_deep_as_it_is_looked_at(root: Path) -> None:
    folder = root
    for _ in range(150):
        folder /= "d"
        folder.mkdir()
    (folder / "deep").write_text("deep")
    assert unzipped(root) == {"d/" * 150 + "deep": b"deep"}
