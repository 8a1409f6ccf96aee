"""`pip install .`: the wheel, and the command `handrail` in an empty folder and environment."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.databases import ROOT
from tests.serving import free_port
from tests.waiting import until_true

_LEFT_OUT = shutil.ignore_patterns(".*", "__pycache__", "tests", "benchmarks", "var", "docs")
_RUN = "import sys; sys.argv[0] = 'handrail'; from project.command_line import main; main()"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel of a copy of this checkout, and unpack it as pip would."""
    folder = tmp_path_factory.mktemp("package")
    shutil.copytree(ROOT, folder / "source", ignore=_LEFT_OUT)
    command = ["-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run(  # noqa: S603  # our own command line
        [sys.executable, *command, "--wheel-dir", str(folder), str(folder / "source")],
        env={"PATH": os.defpath, "HOME": str(folder)},
        timeout=100,
        check=True,
    )
    (wheel,) = folder.glob("handrail-*.whl")
    with ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def handrail(site: Path, *arguments: str) -> list[str]:
    code = f"import sys; sys.path.insert(0, {str(site)!r}); {_RUN}"
    return [sys.executable, "-c", code, *arguments]


def test_the_wheel_names_its_command_and_what_it_needs(installed: Path) -> None:
    (about,) = installed.glob("handrail-*.dist-info")
    assert "handrail = project.command_line:main" in (about / "entry_points.txt").read_text()
    metadata = (about / "METADATA").read_text()
    needed = [line for line in (ROOT / "requirements.in").read_text().splitlines() if "==" in line]
    assert needed
    # The build may write them its own way: django==1 and Django ==1 are the same.
    shown = metadata.lower().replace(" ", "")
    assert all(f"requires-dist:{line.lower()}" in shown for line in needed)
    assert {path.name for path in installed.iterdir()} == {
        "conversations",
        "outbound",
        "project",
        "settings_app",
        about.name,
    }
    assert not list(installed.rglob("*test_*"))
    assert not list(installed.rglob("*_test.py"))
    sources = [*ROOT.glob("*/templates/**/*.html"), *ROOT.glob("*/static/**/*.css")]
    assert len(sources) > 2
    for source in sources:
        assert (installed / source.relative_to(ROOT)).is_file(), source


def test_it_serves_from_an_empty_folder_and_keeps_its_data_there(
    installed: Path, tmp_path: Path
) -> None:
    environment = {"PATH": os.defpath, "HOME": str(tmp_path)}
    early = subprocess.run(  # noqa: S603  # our own command line
        handrail(installed, "serve"),
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (early.returncode, early.stdout) == (1, "")
    assert "handrail migrate" in early.stderr
    assert len(early.stderr.splitlines()) == 1
    run = handrail(installed, "migrate", "--verbosity", "0")
    subprocess.run(  # noqa: S603  # our own command line
        run, cwd=tmp_path, env=environment, timeout=100, check=True
    )
    assert (tmp_path / "var" / "handrail.sqlite3").is_file()
    port = free_port()
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(  # noqa: S603  # our own command line
            handrail(installed, "serve", "--port", str(port)),
            cwd=tmp_path,
            env=environment,
            stdout=log,
            stderr=log,
        )
    try:
        said = f"Handrail listens on http://127.0.0.1:{port}"
        until_true(lambda: said in (tmp_path / "log").read_text(), seconds=60)
    finally:
        server.terminate()
        # Uvicorn ends in order, then by the signal itself.
        assert server.wait(20) in {0, -signal.SIGTERM}
