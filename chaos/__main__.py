"""`python -m chaos`: strike, check, and print the table; exit code 1 where anything was lost."""

from __future__ import annotations

import argparse
import math
import sys

from chaos.report import report_text, total_findings
from chaos.run import Settings, chaos_run


def main(arguments: list[str] | None = None) -> int:
    """Run once with what the arguments say."""
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=30, help="how many times kill -9 (30)")
    parser.add_argument("--seed", type=int, default=1, help="what all blows follow from (1)")
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--web", type=int, default=1, help="web processes (1)")
    parser.add_argument("--workers", type=int, default=0, help="workers; 0: the web ones run turns")
    parser.add_argument("--active", type=int, default=8, help="conversations at a time (8)")
    parser.add_argument(
        "--model-every", type=int, default=4, help="each so many conversations one asks a model (4)"
    )
    parser.add_argument("--pause", type=float, default=2.5, help="longest between blows (2.5 s)")
    parser.add_argument("--lease", type=float, default=6.0, help="LEASE_SECONDS (6)")
    parser.add_argument(
        "--minutes", type=float, default=math.inf, help="strike no longer than this (no limit)"
    )
    given = parser.parse_args(arguments)
    if given.database == "sqlite" and (given.web > 1 or given.workers):
        parser.error("SQLite is for one process: --web 1 --workers 0")
    report = chaos_run(Settings(**vars(given)))
    sys.stdout.write(report_text(report))
    return 1 if total_findings(report) else 0


if __name__ == "__main__":
    sys.exit(main())
