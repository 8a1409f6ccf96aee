"""`backup_database`: one whole, checked file while others write, or nothing."""

from __future__ import annotations

import errno
import signal
import sqlite3
import stat
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from django.conf import settings

from conversations.management.database_copy import PIECE, database_copy
from conversations.management.whole_file import name_take, written_aside
from tests.commands.operating import call, start
from tests.databases import database_environment

BACKUP = "backup_database"
on_sqlite = pytest.mark.skipif(bool(settings.TEST_DATABASE_URL), reason="it is about SQLite's file")


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    database_environment(folder)
    return folder


@pytest.fixture
def target(tmp_path: Path) -> Path:
    folder = tmp_path / "backups"
    folder.mkdir()
    return folder / "handrail.sqlite3"


def database(folder: Path) -> Path:
    return folder / "handrail.sqlite3"


@pytest.mark.skipif(not settings.TEST_DATABASE_URL, reason="it is about PostgreSQL")
def test_on_postgresql_it_names_pg_dump(transactional_db: None, target: Path) -> None:
    call(BACKUP, str(target)).refused("pg_dump --format=custom", "docs/backup.md")
    assert not target.exists()


@on_sqlite
@pytest.mark.parametrize("arguments", [[], ["a", "b"], ["a", "--overwrite"]])
def test_bad_arguments_are_one_line(transactional_db: None, arguments: list[str]) -> None:
    call(BACKUP, *arguments).refused()


@on_sqlite
def test_the_copy_is_one_closed_file_and_a_second_run_leaves_it(
    transactional_db: None, target: Path
) -> None:
    report = call(BACKUP, str(target), "--dry-run", "--json").json
    assert (report["dry_run"], report["output"]) == (True, str(target))
    assert not target.exists()
    report = call(BACKUP, str(target), "--json").json
    assert report == {
        "items": [],
        "dry_run": False,
        "output": str(target),
        "bytes": target.stat().st_size,
    }
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    # Bytes 18 and 19 of the header: 1 says that no log belongs to it.
    assert target.read_bytes()[18:20] == b"\x01\x01"
    before = target.read_bytes()
    call(BACKUP, str(target)).refused(str(target), "there already")
    assert target.read_bytes() == before
    target.with_name("link").symlink_to("nowhere")
    call(BACKUP, str(target.with_name("link"))).refused("there already")
    assert {file.name for file in target.parent.iterdir()} == {target.name, "link"}


def test_a_file_that_came_meanwhile_stays(target: Path) -> None:
    def write() -> None:
        with written_aside(target, replaces=False):
            target.write_text("somebody else's")

    with pytest.raises(FileExistsError):
        write()
    assert target.read_text() == "somebody else's"
    assert list(target.parent.iterdir()) == [target]


def test_of_many_to_one_name_one_is_written(target: Path) -> None:
    writers = 8

    def write(number: int, together: threading.Barrier) -> bool:
        try:
            with written_aside(target, replaces=False) as aside:
                aside.write_text(str(number))
                together.wait(20)
        except FileExistsError:
            return False
        return True

    with ThreadPoolExecutor(writers) as pool:
        for _ in range(80):
            write_one = partial(write, together=threading.Barrier(writers))
            done = list(pool.map(write_one, range(writers)))
            assert done.count(True) == 1
            assert target.read_text() == str(done.index(True))
            assert list(target.parent.iterdir()) == [target]
            target.unlink()


def test_where_the_disk_has_no_links_a_name_is_taken_once_as_well(target: Path) -> None:
    aside = target.with_name("aside")

    def no_link(source: Path, name: Path) -> None:
        raise PermissionError(errno.EPERM, "as on FAT", str(source), None, str(name))

    def somebody_is_faster(source: Path, name: Path) -> None:
        name.write_text("somebody else's")
        no_link(source, name)

    aside.write_text("ours")
    with pytest.raises(FileExistsError):
        name_take(aside, target, link=somebody_is_faster)
    assert target.read_text() == "somebody else's"
    target.unlink()
    name_take(aside, target, link=no_link)
    assert target.read_text() == "ours"
    assert list(target.parent.iterdir()) == [target]


@on_sqlite
def test_a_database_that_is_not_there_is_not_made(tmp_path: Path, target: Path) -> None:
    done = start(tmp_path / "empty", BACKUP, str(target), database={})
    assert (done.code, done.out) == (1, "")
    assert "There is no database at" in done.err
    assert not database(tmp_path / "empty").exists()


@on_sqlite
def test_a_folder_that_is_not_there_is_said(transactional_db: None, target: Path) -> None:
    done = call(BACKUP, str(target.parent / "no" / "copy"))
    assert done.code == 1
    assert "cannot be written to" in done.err


@pytest.fixture
def writer(data_dir: Path) -> Iterator[threading.Event]:
    """Commit one row after the other on a thread; gives an event that is set at the first."""
    begun, stop = threading.Event(), threading.Event()

    def write() -> None:
        with closing(sqlite3.connect(database(data_dir), isolation_level=None)) as connection:
            while not stop.is_set():
                connection.execute("INSERT INTO written (text) VALUES ('x')")
                begun.set()

    with closing(sqlite3.connect(database(data_dir), isolation_level=None)) as connection:
        connection.execute("CREATE TABLE written (id INTEGER PRIMARY KEY, text)")
        connection.execute("CREATE TABLE filler (bytes)")
        connection.execute("INSERT INTO filler VALUES (zeroblob(?))", [4096 * PIECE * 5])
    thread = threading.Thread(target=write)
    thread.start()
    yield begun
    stop.set()
    thread.join()


@on_sqlite
def test_it_ends_beside_a_writer_who_never_rests(
    data_dir: Path, target: Path, writer: threading.Event
) -> None:
    """Each commit would have SQLite begin the copy anew, if it were not of one snapshot."""
    source = database(data_dir)
    assert writer.wait(20)
    written, pieces = [], 0

    def look(_pages: int) -> None:
        nonlocal pieces
        pieces += 1
        assert pieces < 100, "it begins again and again"
        with closing(sqlite3.connect(source)) as connection:
            written.append(connection.execute("SELECT max(id) FROM written").fetchone()[0])

    target.touch()
    database_copy(source, target, tell=look)
    assert pieces > 5
    assert written[-1] > written[0], "nobody wrote meanwhile"
    with closing(sqlite3.connect(target)) as connection:
        (count, last) = connection.execute("SELECT count(*), max(id) FROM written").fetchone()
    assert count == last <= written[0]


#: The system ends a process that writes more than this into a file, or fails the write.
SMALL_FILES = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.{action})
resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000))
from project.env import settings_module_default
settings_module_default("project.settings")
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
"""


@on_sqlite
def test_a_disk_that_is_full_leaves_nothing(data_dir: Path, target: Path) -> None:
    entry = ("-c", SMALL_FILES.format(action="SIG_IGN"))
    done = start(data_dir, BACKUP, str(target), database={}, entry=entry)
    assert (done.code, done.out) == (1, "")
    assert "cannot be copied" in done.err
    assert len(done.err.splitlines()) == 1
    assert list(target.parent.iterdir()) == []


@on_sqlite
def test_killed_in_the_middle_of_a_write_it_leaves_no_half_under_the_name(
    data_dir: Path, target: Path
) -> None:
    entry = ("-c", SMALL_FILES.format(action="SIG_DFL"))
    done = start(data_dir, BACKUP, str(target), database={}, entry=entry)
    assert done.code == -signal.SIGXFSZ
    (half,) = target.parent.iterdir()
    assert half.name.endswith(".part")
    assert 0 < half.stat().st_size < database(data_dir).stat().st_size
    done = start(data_dir, BACKUP, str(target), database={})
    assert done.code == 0
    assert target.is_file()


@on_sqlite
def test_a_damaged_database_is_said_and_not_kept(data_dir: Path, target: Path) -> None:
    with database(data_dir).open("r+b") as file:
        # The root page of a table, as a bad disk may leave it.
        file.seek(4096 * 5)
        file.write(b"\xff" * 4096)
    done = start(data_dir, BACKUP, str(target), database={})
    assert (done.code, done.out) == (1, "")
    assert "integrity check" in done.err
    assert len(done.err.splitlines()) == 1
    assert list(target.parent.iterdir()) == []
