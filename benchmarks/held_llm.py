"""An LLM's server that holds every answer until it is told to give them. It knows no Handrail."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any, Final

HELD: Final = "/held"
HOLD: Final = "/hold"
RELEASE: Final = "/release"
_BACKLOG: Final = 4096
_FINISH: Final = {"message": "It is done.", "task_completed": "true"}


def _answer(message: dict[str, Any]) -> bytes:
    return json.dumps(
        {
            "id": "chatcmpl-held",
            "object": "chat.completion",
            "created": 0,
            "model": "held",
            "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
            "usage": {"prompt_tokens": 900, "completion_tokens": 20, "total_tokens": 920},
        }
    ).encode()


_TITLE: Final = _answer({"role": "assistant", "content": "Mend the test"})
_DONE: Final = _answer(
    {
        "role": "assistant",
        "content": "",
        "tool_calls": [
            {
                "id": "call_held",
                "type": "function",
                "function": {"name": "finish", "arguments": json.dumps(_FINISH)},
            }
        ],
    }
)


class HeldLLM:
    """Answers a turn's request when it is released, one for a title at once."""

    def __init__(self) -> None:
        self._held = 0
        self._released = asyncio.Event()

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                fields = dict(line.split(b": ", 1) for line in head.lower().split(b"\r\n")[1:-2])
                body = await reader.readexactly(int(fields.get(b"content-length", b"0")))
                answer = await self._answer(head.split(b" ", 2)[1].decode(), body)
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
                    + str(len(answer)).encode()
                    + b"\r\n\r\n"
                    + answer
                )
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _answer(self, path: str, body: bytes) -> bytes:
        if path == RELEASE:
            # Until it is told to hold again: a call that was made anew comes late.
            self._released.set()
        elif path == HOLD:
            self._released.clear()
        elif path in (HELD, "/health"):
            pass
        elif b'"tools"' not in body:
            return _TITLE
        else:
            self._held += 1
            try:
                await self._released.wait()
            finally:
                self._held -= 1
            return _DONE
        return str(self._held).encode()


async def _serve(port: int) -> None:
    llm = HeldLLM()
    server = await asyncio.start_server(llm.connected, "127.0.0.1", port, backlog=_BACKLOG)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
