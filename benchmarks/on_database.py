"""The process that measures one kind of database: Django is set up here, and nothing else done."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from pathlib import Path

import django

from benchmarks.sizes import sizes_of


def main() -> None:
    """Read the environments of the databases, measure, write this database's part of the report."""
    parser = ArgumentParser(prog="python -m benchmarks.on_database")
    parser.add_argument("section", type=Path)
    parser.add_argument("environments", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--scale", action="store_true")
    options = parser.parse_args()
    django.setup()
    # Only now: it knows tables.
    from benchmarks.run import scale_make, section_make

    environments = json.loads(options.environments.read_text())
    sizes = sizes_of(quick=options.quick, scale=options.scale)
    if options.scale:
        text = scale_make(sizes, environments)
    else:
        text = section_make(sizes, environments).markdown()
    options.section.write_text(text)


if __name__ == "__main__":
    main()
