"""What the LLM is told of each tool, in the form of OpenAI's function calls."""

from __future__ import annotations

from typing import Any


def _tool(
    name: str, description: str, properties: dict[str, Any], required: list[str]
) -> dict[str, Any]:
    return {
        "type": "function",
        "function": {
            "name": name,
            "description": description,
            "parameters": {"type": "object", "properties": properties, "required": required},
        },
    }


TOOLS: tuple[dict[str, Any], ...] = (
    _tool(
        "execute_bash",
        "Run a bash command in the lasting shell of the sandbox and get its output and exit code. "
        "A command that runs longer than its timeout is interrupted; start servers in the "
        "background with their output sent to a file.",
        {
            "command": {"type": "string", "description": "The command; several lines are fine."},
            "is_input": {
                "type": "string",
                "enum": ["true", "false"],
                "description": "Leave it out: no command ever waits for input here.",
            },
            "timeout": {"type": "number", "description": "Seconds until it is interrupted."},
        },
        ["command"],
    ),
    _tool(
        "str_replace_editor",
        "View, create and edit files below /workspace. `view` shows a file with line numbers, or "
        "a folder two levels deep; `create` makes a new file; `str_replace` replaces old_str, "
        "which must occur exactly once, by new_str; `insert` puts new_str after insert_line.",
        {
            "command": {
                "type": "string",
                "enum": ["view", "create", "str_replace", "insert", "undo_edit"],
            },
            "path": {"type": "string", "description": "An absolute path, /workspace/…"},
            "file_text": {"type": "string", "description": "For create: the whole file."},
            "old_str": {"type": "string", "description": "For str_replace."},
            "new_str": {"type": "string", "description": "For str_replace and insert."},
            "insert_line": {"type": "integer", "description": "For insert; 0 is the top."},
            "view_range": {
                "type": "array",
                "items": {"type": "integer"},
                "description": "For view of a file: first and last line; -1 is the end.",
            },
        },
        ["command", "path"],
    ),
    _tool(
        "think",
        "Write down a thought for the record. It changes nothing.",
        {"thought": {"type": "string"}},
        ["thought"],
    ),
    _tool(
        "finish",
        "Say that the task is over, done or not.",
        {
            "message": {"type": "string", "description": "A summary for the user."},
            "task_completed": {"type": "string", "enum": ["true", "false", "partial"]},
        },
        ["message"],
    ),
)
