"""The services and reads of these tests, for async code."""

from __future__ import annotations

from asgiref.sync import sync_to_async

from conversations.services.agent_loops import loop_start, loop_stop, state_request
from conversations.services.messages import command_send, message_send
from tests.services.reading import assert_sound, contents, status, told

create = sync_to_async
read = sync_to_async(told)
said = sync_to_async(contents)
shown = sync_to_async(status)
sound = sync_to_async(assert_sound)
send = sync_to_async(message_send)
command = sync_to_async(command_send)
request = sync_to_async(state_request)
stop = sync_to_async(loop_stop)
resume = sync_to_async(loop_start)
