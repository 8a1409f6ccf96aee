"""What an operator does to conversations: asked twice, done by the services, and written down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.http import url_has_allowed_host_and_scheme

from conversations.admin.keys import id_read
from conversations.downloads import download
from conversations.exceptions import DownloadsBusyError, HandrailError
from conversations.models import Conversation
from conversations.selectors import trajectory_pieces
from conversations.services.agent_loops import loop_start, loop_stop_if_any
from conversations.services.conversations import conversation_delete
from conversations.services.titles import title_generate
from conversations.services.transactions import write_transaction
from settings_app.admin import audit
from settings_app.console import console

#: Conversations of one action: a page of the list.
MOST: Final = 50
#: A title may take twelve seconds of a model's.
MOST_TITLES: Final = 3
PERMISSION: Final = "conversations.operate_conversation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One action: its words, and the service that does it. `run` gives whether it did anything."""

    name: str
    title: str
    question: str
    #: What the audit says.
    past: str
    nothing: str
    run: Callable[[Conversation], bool]
    most: int = MOST
    #: False for what waits for others: it must not hold the database's lock meanwhile.
    in_transaction: bool = True
    deletes: bool = False
    dangerous: bool = False


def _start(conversation: Conversation) -> bool:
    before = conversation.last_event_id
    loop_start(conversation=conversation)
    conversation.refresh_from_db(fields=["last_event_id"])
    return conversation.last_event_id > before


OPERATIONS: Final = {
    operation.name: operation
    for operation in (
        Operation(
            name="stop",
            title="Stop",
            question="A running command or answer is interrupted within a second. "
            "The owner can resume, or send a message.",
            past="Stopped",
            nothing="did not run, and nothing was wanted",
            run=lambda row: loop_stop_if_any(conversation=row),
        ),
        Operation(
            name="resume",
            title="Resume",
            question="The agent goes on where it was stopped, paused, or met an error. "
            "That costs the owner's money.",
            past="Resumed",
            nothing="was not stopped, paused or in an error",
            run=_start,
        ),
        Operation(
            name="retitle",
            title="Regenerate title",
            question="A new title is made by the owner's model, else from the first message. "
            "It replaces the present one, also one that the owner gave. It may take some seconds.",
            past="Asked for a new title",
            nothing="was deleted meanwhile",
            run=lambda row: title_generate(conversation=row),
            most=MOST_TITLES,
            in_transaction=False,
        ),
        Operation(
            name="export",
            title="Export trajectory",
            question="You download every event with all that the agent and its owner said. "
            "Secrets in it are masked; the rest is theirs: handle it so.",
            past="Exported the trajectory",
            nothing="was deleted meanwhile",
            run=lambda _: True,
            most=1,
        ),
        Operation(
            name="delete",
            title="Delete with sandbox",
            question="The conversation is gone for everybody at once. Its sandbox, its workspace "
            "with all files, and its events are removed within seconds. There is no way back.",
            past="Deleted with its sandbox",
            nothing="was deleted already",
            run=lambda row: conversation_delete(conversation=row),
            deletes=True,
            dangerous=True,
        ),
    )
}


def operate(request: HttpRequest, *, fallback: str) -> HttpResponse:
    """Ask, or do what was confirmed. Raises PermissionDenied; whatever else is odd is said."""
    if not request.user.has_perm(PERMISSION):
        raise PermissionDenied
    back = _back(request, fallback)
    operation = OPERATIONS.get(request.POST.get("action", ""))
    named = request.POST.getlist("_selected_action")
    ids = {found for text in named[: MOST + 1] if (found := id_read(text))}
    if operation is None or not ids:
        messages.warning(request, "Choose an action, and at least one conversation.")
        return HttpResponseRedirect(back)
    if len(named) > operation.most:
        said = f"{operation.title}: at most {operation.most} at a time; {len(named)} were chosen."
        messages.warning(request, said)
        return HttpResponseRedirect(back)
    rows = Conversation.objects.alive().filter(pk__in=ids).select_related("owner")
    chosen = list(rows.defer("replay").order_by("-created_at", "-id"))
    if not chosen:
        messages.warning(request, "There is no such conversation (any more).")
        return HttpResponseRedirect(fallback)
    if "confirmed" not in request.POST:
        return _ask(request, operation, chosen, back)
    return _done(request, operation, chosen, fallback if operation.deletes else back)


def _back(request: HttpRequest, fallback: str) -> str:
    wanted = request.POST.get("next", "") or request.get_full_path()
    is_ours = url_has_allowed_host_and_scheme(wanted, allowed_hosts=None)
    return wanted if is_ours and wanted.startswith("/admin/") else fallback


def _ask(
    request: HttpRequest, operation: Operation, chosen: list[Conversation], back: str
) -> HttpResponse:
    context = {
        **console().each_context(request),
        "title": f"{operation.title}?",
        "operation": operation,
        "chosen": chosen,
        "back": back,
    }
    return TemplateResponse(request, "console/confirm.html", context)


def _done(
    request: HttpRequest, operation: Operation, chosen: list[Conversation], back: str
) -> HttpResponse:
    if operation.name == "export":
        return _export(request, operation, chosen[0], back)
    done = 0
    for row in chosen:
        try:
            done += _run(request, operation, row)
        except HandrailError as error:
            messages.error(request, f"{row}: {error}")
    if done:
        many = (
            f"{done} conversations" if done > 1 else f"“{chosen[0]}”" if len(chosen) == 1 else "one"
        )
        messages.success(request, f"{operation.past}: {many}.")
    if done < len(chosen):
        left = len(chosen) - done
        messages.info(request, f"{left} of {len(chosen)} {operation.nothing}: nothing was changed.")
    return HttpResponseRedirect(back)


def _run(request: HttpRequest, operation: Operation, row: Conversation) -> bool:
    """Do it to one, and write it down with it: neither without the other."""
    note = partial(audit, request=request, row=row, deletes=operation.deletes)
    if not operation.in_transaction:
        # Before: what it has begun cannot be taken back.
        note(message=operation.past)
        return operation.run(row)
    with write_transaction():
        did = operation.run(row)
        if did:
            note(message=operation.past)
    return did


def _export(
    request: HttpRequest, operation: Operation, row: Conversation, back: str
) -> HttpResponse:
    try:
        pieces = partial(trajectory_pieces, conversation_id=row.pk)
        response = download(request, pieces, content_type="application/json")
    except DownloadsBusyError as error:
        messages.error(request, str(error))
        return HttpResponseRedirect(back)
    audit(request=request, row=row, message=operation.past)
    response["Content-Disposition"] = f'attachment; filename="trajectory-{row.pk.hex}.json"'
    return response  # type: ignore[return-value]  # a stream is an answer too
