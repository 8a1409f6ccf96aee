"""The demo's task, and a recording of how an agent solves it: for a first run without any key."""

from __future__ import annotations

import json

TASK = """\
In /workspace write a shell script slow.sh that reads a web server's log on its standard input and
prints the slowest paths: average milliseconds and path, the slowest first. Make a small log to try
it with, check the result by hand, and finish with what you found."""

_LOG = """\
GET /login 120
GET /search 900
GET /health 3
GET /search 1100
POST /orders 340
GET /login 80
GET /health 5
GET /search 1000
POST /orders 460
"""

# Wrong on purpose: the sort is by text, as a first draft often is.
_SCRIPT = """\
#!/bin/sh
# Average milliseconds by path, the slowest first.
awk '{ total[$2] += $3; number[$2]++ }
     END { for (path in total) printf "%.0f %s\\n", total[path] / number[path], path }' |
    sort -r
"""


def _event(action: str, **args: object) -> dict[str, object]:
    return {"source": "agent", "action": action, "args": args}


def demo_trajectory() -> str:
    """Give the recording as `replay_json`: our own, with real commands that really run."""
    return json.dumps(
        [
            {"source": "user", "action": "message", "args": {"content": TASK}},
            _event(
                "run",
                command=f"cat > access.log <<'EOF'\n{_LOG}EOF\nwc -l access.log",
                thought="First a small log to try things with.",
            ),
            _event(
                "edit",
                command="create",
                path="/workspace/slow.sh",
                file_text=_SCRIPT,
                thought="awk does the averages, sort the order.",
            ),
            _event(
                "run",
                command="chmod +x slow.sh && ./slow.sh < access.log",
                thought="Let's see.",
            ),
            _event(
                "think",
                thought="400 and 4 stand above 1000: the lines are sorted as text, not as numbers.",
            ),
            _event(
                "edit",
                command="str_replace",
                path="/workspace/slow.sh",
                old_str="    sort -r\n",
                new_str="    sort -rn\n",
                thought="Sort by number.",
            ),
            _event(
                "run",
                command='./slow.sh < access.log | tee slow.txt\ntest "$(head -1 slow.txt)" = '
                '"1000 /search" && echo "checked: (900 + 1100 + 1000) / 3 = 1000"',
            ),
            _event("read", path="/workspace/slow.sh", thought="A last look at the script."),
            _event(
                "finish",
                final_thought="slow.sh works: /search is the slowest path, 1000 ms on average. "
                "The first draft sorted numbers as text; that is mended.",
                task_completed="true",
            ),
        ]
    )
