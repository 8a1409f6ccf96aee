"""Socket.IO's packets as our clients send them; any other ends the connection, without a word."""

from __future__ import annotations

from typing import Any, Final

from socketio.packet import CONNECT, DISCONNECT, EVENT, Packet

from conversations.stream.transport import current_transport

#: To the library they are handlers like any other: a client's event would run them once more.
_RESERVED: Final = frozenset({"connect", "disconnect"})


class ClientPacket(Packet):  # type: ignore[misc]  # it ships no types
    """Decodes what a client sends without ever raising: the library would log a traceback."""

    packet_type: int
    data: Any

    def decode(self, encoded_packet: Any) -> int:
        """Read it; what cannot be read, or is not as it should be, is the client's goodbye."""
        try:
            super().decode(encoded_packet)
        except (ValueError, RecursionError):
            is_good = False
        else:
            is_good = _is_good(self.packet_type, self.data)
        if not is_good:
            self.packet_type, self.data = DISCONNECT, None
            current_transport().end()
        # Attachments: `transport` lets none of the packets in that have some.
        return 0


def _is_good(packet_type: int, data: Any) -> bool:
    if packet_type == CONNECT:
        return data is None or isinstance(data, dict)
    if packet_type == EVENT:
        is_event = isinstance(data, list) and bool(data) and isinstance(data[0], str)
        return is_event and data[0] not in _RESERVED
    return packet_type == int(DISCONNECT)
