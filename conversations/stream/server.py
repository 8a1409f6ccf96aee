"""The Socket.IO server: who may connect, one pump a connection, users' actions. No SQL here."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import socketio
import structlog
from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db import DatabaseError

from conversations.events.base import JSONObject
from conversations.exceptions import HandrailError
from conversations.selectors import conversation_get
from conversations.services.repeating import failure_tell
from conversations.services.transactions import RETRY_SECONDS, in_db_thread
from conversations.stream.handshake import handshake_read
from conversations.stream.packets import ClientPacket
from conversations.stream.pump import pump
from conversations.stream.transport import Transport, current_transport
from conversations.stream.user_actions import user_action_handle
from conversations.telemetry import telemetry
from settings_app.authentication import socket_user
from settings_app.exceptions import SettingsAppError
from settings_app.models import User

log = structlog.get_logger(__name__)

EVENT = "oh_event"
#: Messages that may wait for a client, and seconds until one that does not read is cut off.
MAX_QUEUED, SLOW_SECONDS, ROOM_POLL_SECONDS = 64, 60.0, 0.005
#: How long a connection stays open that has not logged in yet, or has left.
LOGIN_SECONDS = 10.0
#: Open sockets of one user, in one process: many windows, and yet a bound.
MAX_SOCKETS_OF_USER = 100
#: How long after a logout, or an account's end, an open socket may still receive.
WELCOME_SECONDS = 5.0
#: What a websocket is closed with while the database is away.
TRY_AGAIN_LATER = 1013
_NO_DATABASE = "The server's database does not answer. Try again in a moment."
_NOT_WELCOME = "You are no longer logged in. Nothing was done: log in again, then send it again."
_TOO_MANY = f"You have {MAX_SOCKETS_OF_USER} connections open. Close some, then try again."
_NOT_STORED = (
    "The server's database does not answer, so it is not known whether this was stored. "
    "If it does not show up in a moment, send it again."
)


@dataclass(slots=True, kw_only=True)
class _Connection:
    user: User
    conversation_id: UUID
    #: The headers that named the user: a logout makes them void.
    cookies: str = field(repr=False)
    authorization: str = field(repr=False)
    transport: Transport
    welcome_at: float = field(default_factory=time.monotonic)
    pump: asyncio.Task[None] | None = None

    async def is_still_welcome(self) -> bool:
        """Whether the headers still name this user, asked of the database. May raise its errors."""
        try:
            user = await in_db_thread(
                socket_user, cookies=self.cookies, authorization=self.authorization
            )
        except PermissionDenied:
            return False
        self.welcome_at = time.monotonic()
        return user.pk == self.user.pk


class Stream:
    """Wires the handlers to one AsyncServer."""

    def __init__(self) -> None:
        self.sio = socketio.AsyncServer(
            async_mode="asgi",
            serializer=ClientPacket,
            transports=["websocket"],
            # The guard before us checks Host and Origin; this server's own check is too weak.
            cors_allowed_origins=[],
            # One after the other: two messages of a user are stored in the order he sent them.
            async_handlers=False,
            max_http_buffer_size=settings.MAX_SOCKET_MESSAGE_BYTES,
            ping_interval=25,
            ping_timeout=20,
        )
        self._connections: dict[str, _Connection] = {}
        self.sio.on("connect", self._connect)
        self.sio.on("disconnect", self._disconnect)
        self.sio.on("oh_user_action", self._user_action)
        self.sio.on("oh_action", self._user_action)  # the name that older clients use

    async def _connect(self, sid: str, environ: dict[str, Any], auth: Any = None) -> None:
        handshake = handshake_read(environ.get("QUERY_STRING", ""))
        cookies, authorization = environ.get("HTTP_COOKIE", ""), _authorization(environ, auth)
        try:
            user = await in_db_thread(socket_user, cookies=cookies, authorization=authorization)
            conversation = await in_db_thread(
                conversation_get, user=user, conversation_id=handshake.conversation_id
            )
        except PermissionDenied as error:
            raise socketio.exceptions.ConnectionRefusedError(str(error)) from error
        except DatabaseError as error:
            failure_tell(log, "socket_refused", error)
            # Its client comes back to a broken connection by itself, to a no it would not.
            await environ["asgi.send"]({"type": "websocket.close", "code": TRY_AGAIN_LATER})
            raise socketio.exceptions.ConnectionRefusedError(_NO_DATABASE) from error
        if conversation is None:
            message = "This conversation does not exist."
            raise socketio.exceptions.ConnectionRefusedError(message)
        if self._sockets_of(user) >= MAX_SOCKETS_OF_USER:
            raise socketio.exceptions.ConnectionRefusedError(_TOO_MANY)

        # The pump takes this context with it.
        structlog.contextvars.bind_contextvars(conversation=conversation.pk.hex)
        connection = self._connections[sid] = _Connection(
            user=user,
            conversation_id=conversation.pk,
            cookies=cookies,
            authorization=authorization,
            transport=current_transport(),
        )
        connection.transport.keep()
        telemetry.sockets_open(len(self._connections))

        async def emit(event: JSONObject) -> None:
            await self._until_there_is_room(sid)
            if await self._may_receive(sid, connection):
                await self.sio.emit(EVENT, event, to=sid)

        connection.pump = asyncio.create_task(
            pump(
                conversation_id=conversation.pk,
                # A cursor beyond the log, from who knows where, must not hide what comes.
                cursor=min(handshake.latest_event_id, conversation.last_event_id),
                emit=emit,
            )
        )
        connection.pump.add_done_callback(_log_failure)

    def _sockets_of(self, user: User) -> int:
        return sum(1 for connection in self._connections.values() if connection.user.pk == user.pk)

    async def _may_receive(self, sid: str, connection: _Connection) -> bool:
        """Ask now and then whether the user is still logged in; cut off one who is not."""
        if time.monotonic() - connection.welcome_at < WELCOME_SECONDS:
            return True
        while True:
            try:
                welcome = await connection.is_still_welcome()
            except DatabaseError as error:
                # Cut off by us, a browser's client would not come back by itself.
                failure_tell(log, "login_not_read", error)
                await asyncio.sleep(RETRY_SECONDS)
                continue
            if not welcome:
                await self.sio.disconnect(sid)
            return welcome

    async def _until_there_is_room(self, sid: str) -> None:
        """Wait for a client that reads slower than we send; cut off one that does not read at all.

        The library's queue has no bound: without this, slow clients would make us hold the log in
        memory once for each of them.
        """
        for _ in range(int(SLOW_SECONDS / ROOM_POLL_SECONDS)):
            eio_sid = self.sio.manager.eio_sid_from_sid(sid, "/")
            connection = self.sio.eio.sockets.get(eio_sid)
            if connection is None or connection.queue.qsize() < MAX_QUEUED:
                return
            await asyncio.sleep(ROOM_POLL_SECONDS)
        log.warning("slow_client_cut_off", sid=sid)
        await self.sio.eio.disconnect(self.sio.manager.eio_sid_from_sid(sid, "/"))

    async def _disconnect(self, sid: str, reason: Any = None) -> None:
        connection = self._connections.pop(sid, None)
        if connection is None:
            return
        telemetry.sockets_open(len(self._connections))
        connection.transport.end_soon()
        if connection.pump is not None:
            connection.pump.cancel()

    async def _user_action(self, sid: str, data: Any = None, *_: Any) -> JSONObject:
        """Store what the user did; the acknowledgement leaves after the commit."""
        connection = self._connections[sid]
        structlog.contextvars.bind_contextvars(conversation=connection.conversation_id.hex)
        try:
            if not await connection.is_still_welcome():
                return await self._refuse(sid, _NOT_WELCOME, "logged_out")
            await in_db_thread(
                user_action_handle,
                user=connection.user,
                conversation_id=connection.conversation_id,
                data=data,
            )
        except HandrailError as error:
            return await self._refuse(sid, str(error), error.code)
        except SettingsAppError as error:
            return await self._refuse(sid, str(error), "settings")
        except DatabaseError as error:
            failure_tell(log, "user_action_not_stored", error)
            return await self._refuse(sid, _NOT_STORED, "not_stored")
        return {"status": "ok"}

    async def _refuse(self, sid: str, message: str, code: str) -> JSONObject:
        """Tell the client; a status update is the one thing that it shows as an error."""
        update = {"status_update": True, "type": "error", "id": "", "message": message}
        await self.sio.emit(EVENT, update, to=sid)
        return {"status": "error", "message": message, "code": code}


def _authorization(environ: dict[str, Any], auth: Any) -> str:
    """Give the header, or what a browser's client can send in its place: `{"token": …}`."""
    token = auth.get("token") if isinstance(auth, dict) else None
    return f"Token {token}" if isinstance(token, str) else environ.get("HTTP_AUTHORIZATION", "")


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("stream_ended", exc_info=error)
