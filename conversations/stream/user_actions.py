"""What a client may send on the socket, from its JSON to one service call. No socket here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, get_args
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, Field, TypeAdapter, ValidationError

from conversations.exceptions import ConversationGoneError, InvalidInputError
from conversations.selectors import conversation_get
from conversations.services.agent_loops import state_request
from conversations.services.messages import command_send, message_send
from settings_app.models import User
from settings_app.selectors import settings_for


def _none_is_empty(value: Any) -> Any:
    return [] if value is None else value


class _MessageArgs(BaseModel):
    content: str
    image_urls: Annotated[list[str], BeforeValidator(_none_is_empty)] = []


class _Message(BaseModel):
    action: Literal["message"]
    args: _MessageArgs


class _RunArgs(BaseModel):
    command: str


class _Run(BaseModel):
    action: Literal["run"]
    args: _RunArgs


class _StateArgs(BaseModel):
    agent_state: str


class _ChangeState(BaseModel):
    action: Literal["change_agent_state"]
    args: _StateArgs


_ACTIONS: TypeAdapter[_Message | _Run | _ChangeState] = TypeAdapter(
    Annotated[_Message | _Run | _ChangeState, Field(discriminator="action")]
)


def user_action_kinds() -> frozenset[str]:
    """Give the words that `action` may be."""
    models: tuple[type[BaseModel], ...] = (_Message, _Run, _ChangeState)
    return frozenset(get_args(model.model_fields["action"].annotation)[0] for model in models)


def _parse(data: Any) -> _Message | _Run | _ChangeState:
    try:
        return _ACTIONS.validate_python(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"][1:]) or "action"
        message = f"{where}: {first['msg']}"
        raise InvalidInputError(message) from error


def user_action_handle(*, user: User, conversation_id: UUID, data: Any) -> None:
    """Store and act on one `oh_user_action`. When it returns, the input is a row (invariant 6).

    Raises InvalidInputError that names the field, or ConversationGoneError.
    """
    action = _parse(data)
    conversation = conversation_get(user=user, conversation_id=conversation_id)
    if conversation is None:
        raise ConversationGoneError
    if isinstance(action, _ChangeState):
        state_request(conversation=conversation, state=action.args.agent_state)
        return
    user_settings = settings_for(user_id=user.pk)
    secrets: Sequence[str] = user_settings.secrets if user_settings else ()
    if isinstance(action, _Run):
        command_send(conversation=conversation, command=action.args.command, secrets=secrets)
    else:
        message_send(
            conversation=conversation,
            content=action.args.content,
            image_urls=action.args.image_urls,
            secrets=secrets,
        )
