"""Files that become links while they are read: nothing outside of a workspace is ever shown."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

from tests.api.test_files import URL, recorded
from tests.databases import ROOT
from tests.serving import Server

SWAPS = 50_000


def test_a_race_of_a_hundred_thousand_swapped_links_leaks_nothing(
    bare_server: Server, tmp_path: Path
) -> None:
    conversation_id = recorded(bare_server, "true")
    root = bare_server.workspace(conversation_id)
    (tmp_path / "secret").write_text("a secret of this machine")
    swappers = [
        subprocess.Popen(  # noqa: S603  # our own command line
            [sys.executable, "-m", "tests.swapper", what, str(root), str(tmp_path), str(SWAPS)],
            cwd=ROOT,
        )
        for what in ("file", "folder")
    ]
    seen: Counter[tuple[int, str]] = Counter()

    def read(path: str) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", bare_server.port, timeout=20)
        while any(swapper.poll() is None for swapper in swappers):
            connection.request("GET", f"{URL}/{conversation_id}/select-file?file={path}")
            response = connection.getresponse()
            answer = json.loads(response.read())
            seen[response.status, answer.get("code", "")] += 1
        connection.close()

    readers = [threading.Thread(target=read, args=(p,)) for p in ("file", "folder/secret")]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(100)
    assert [swapper.wait(10) for swapper in swappers] == [0, 0]
    assert set(seen) == {(200, "inside"), (404, "")}
    assert min(seen.values()) > 10
