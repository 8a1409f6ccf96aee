"""What a .gitignore leaves out, compared with git itself."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conversations.runtime.gitignore import GitIgnore

NAMES = ["a", "b", "ab", "a.txt", "node_modules", ".env", "dir"]
SEGMENTS = ["a", "b", "*", "**", "a*", "*.txt", "?b", "[ab]", "[!a]", "dir", ".env", "node_modules"]

paths = st.lists(st.sampled_from(NAMES), min_size=1, max_size=4).map(tuple)
lines = st.tuples(
    st.sampled_from(["", "!"]),
    st.sampled_from(["", "/"]),
    st.lists(st.sampled_from(SEGMENTS), min_size=1, max_size=3).map("/".join),
    st.sampled_from(["", "/"]),
).map("".join)
ignore_files = st.lists(lines | st.sampled_from(["", "# a", "\\#a", "\\!b", " a"]), max_size=5)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repository")
    subprocess.run(["git", "init", "-q", str(folder)], check=True)  # noqa: S603, S607  # git itself
    return folder


def git_leaves_out(repository: Path, text: str, parts: tuple[str, ...], *, is_folder: bool) -> bool:
    """Ask git about a path that is really there."""
    for entry in repository.iterdir():
        if entry.is_dir() and entry.name != ".git":
            shutil.rmtree(entry)
        elif entry.is_file():
            entry.unlink()
    (repository / ".gitignore").write_text(text)
    path = repository.joinpath(*parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    if is_folder:
        path.mkdir()
    else:
        path.touch()
    command = ["git", "-C", str(repository), "check-ignore", "-q", "--no-index", str(path)]
    return subprocess.run(command, check=False).returncode == 0  # noqa: S603  # git itself


@settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(rules=ignore_files, parts=paths, is_folder=st.booleans())
def test_it_decides_as_git_does(
    repository: Path, rules: list[str], parts: tuple[str, ...], *, is_folder: bool
) -> None:
    text = "\n".join(rules) + "\n"
    ours = GitIgnore(text).leaves_out(parts, is_folder=is_folder)
    assert ours == git_leaves_out(repository, text, parts, is_folder=is_folder)


def test_a_pattern_that_would_take_years_takes_none() -> None:
    # The suite's time limit is the assertion.
    ignored = GitIgnore("\n".join(["*a" * 10 + "b", "**/" * 5 + "x", "[" * 400] * 150))
    for _ in range(10):
        assert not ignored.leaves_out(("a" * 250,) * 20, is_folder=False)
    assert not GitIgnore("*a" * 200).leaves_out(("a" * 250,), is_folder=False), "it is no rule"
