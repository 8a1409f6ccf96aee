"""`make bench`: measures on SQLite and on PostgreSQL, and writes docs/performance.md."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from argparse import ArgumentParser, Namespace
from contextlib import suppress
from pathlib import Path

from benchmarks.databases import ROOT, Environments, databases_made, postgresql_find
from benchmarks.report import conditions, report_write
from benchmarks.sizes import LIMIT_SECONDS, sizes_of

_REPORT = ROOT / "docs" / "performance.md"
_NONE = "No PostgreSQL answered on 127.0.0.1:5432, and TEST_DATABASE_URL names none that does."


def _options() -> Namespace:
    parser = ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="small sizes; its figures mean nothing"
    )
    parser.add_argument(
        "--scale", action="store_true", help="only writers, sockets and loops; prints their tables"
    )
    parser.add_argument("--only", choices=("sqlite", "postgresql"), help="one kind of database")
    parser.add_argument(
        "--report",
        type=Path,
        help="the file to write (docs/performance.md; with --quick or --scale it is only printed)",
    )
    return parser.parse_args()


def _section(environments: Environments, flags: list[str]) -> str:
    """Measure in a process of its own, whose servers end with it. Raises CalledProcessError."""
    with tempfile.TemporaryDirectory(prefix="handrail-bench-") as folder:
        section, names = Path(folder) / "section.md", Path(folder) / "environments.json"
        names.write_text(json.dumps(environments))
        arguments = ["-m", "benchmarks.on_database", str(section), str(names)]
        process = subprocess.Popen(  # noqa: S603  # our own command line
            [sys.executable, *arguments, *flags],
            cwd=ROOT,
            env=environments["large"] | {"DJANGO_SETTINGS_MODULE": "benchmarks.settings"},
            start_new_session=True,
        )
        try:
            if code := process.wait(LIMIT_SECONDS):
                raise subprocess.CalledProcessError(code, arguments)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        return section.read_text()


def main() -> None:
    """Measure each database, write the report."""
    options = _options()
    flags = [f"--{name}" for name in ("quick", "scale") if getattr(options, name)]
    parts = [conditions()]
    if options.quick:
        parts.append("A quick run: its figures mean nothing.")
    aliases = list(sizes_of(quick=options.quick, scale=options.scale).stored)
    urls = {"sqlite": "", "postgresql": postgresql_find()}
    for kind in [options.only] if options.only else urls:
        sys.stdout.write(f"On {kind}:\n")
        sys.stdout.flush()
        if kind == "postgresql" and not urls[kind]:
            parts.append(f"## PostgreSQL\n\n{_NONE}")
            continue
        with databases_made(aliases, server_url=urls[kind]) as environments:
            parts.append(_section(environments, flags))
    text = "\n\n".join(part.strip() for part in parts)
    report = options.report or (None if flags else _REPORT)
    if report:
        report_write(report, text)
    sys.stdout.write(f"\n{text}\n")


if __name__ == "__main__":
    main()
