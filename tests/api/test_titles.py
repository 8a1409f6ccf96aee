"""Titles over HTTP: what a user gives, what a model makes, and what is made without one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.scripted_llm import (
    ScriptedLLMServer,
    Step,
    body,
    calls,
    drop,
    error,
    finish,
    gated,
    hang,
    raw_call,
    text,
    think,
)
from tests.secrets_search import KEY
from tests.serving import Server
from tests.waiting import until_true

URL = "/api/conversations"
MESSAGE = "Sort the lines of a file by their length."
FALLBACK = "Sort the lines of a file by th..."
NOVEL = " ".join(f"word{number}" for number in range(500))


@pytest.fixture
def named(llm: ScriptedLLMServer) -> Iterator[ScriptedLLMServer]:
    """Give the provider, whose answer to requests for titles a test may change."""
    yield llm
    llm.title_answer = "A fine title"


@pytest.fixture(scope="module")
def settled(server: Server, llm: ScriptedLLMServer) -> str:
    """Give a conversation that has got its first title and rests."""
    llm.script(lambda _: finish("Done."), marker="length.")
    conversation_id = server.create(MESSAGE)
    server.wait_for_rest(conversation_id)
    until_true(lambda: title(server, conversation_id) == "A fine title")
    return conversation_id


def title(server: Server, conversation_id: str) -> str:
    return str(server.ok("GET", f"{URL}/{conversation_id}")["title"])


def patch(server: Server, conversation_id: str, wanted: Any) -> Any:
    return server.call("PATCH", f"{URL}/{conversation_id}", {"title": wanted})


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("My title", "My title"),
        ("  My title \t\n", "My title"),
        ("x" * 255, "x" * 255),
        ("<b>&amp;\\'\"", "<b>&amp;\\'\""),
        ("Größe 👩‍💻 字", "Größe 👩‍💻 字"),
        ("Conversation abcde", "Conversation abcde"),
    ],
)
def test_a_title_that_a_user_gives_is_kept(server: Server, given: str, kept: str) -> None:
    conversation_id = server.create("")
    assert patch(server, conversation_id, given) == (200, True)
    assert title(server, conversation_id) == kept


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("x" * 256, "255 characters"),
        ("two\nlines", "one line"),
        ("two\u2028lines", "one line"),
        ("a\x00b", "NUL"),
        ("a\ud800b", "surrogates"),
        ("\udc00", "surrogates"),
        (7, "string"),
        (None, "null"),
        (["x"], "string"),
    ],
)
def test_a_title_that_is_none_is_refused_and_changes_nothing(
    server: Server, given: Any, said: str
) -> None:
    conversation_id = server.create("")
    assert patch(server, conversation_id, "Mine") == (200, True)
    status, answer = patch(server, conversation_id, given)
    assert status == 422
    assert said in answer["message"]
    assert answer["detail"][0]["loc"] == ["body", "title"]
    assert title(server, conversation_id) == "Mine"


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"{", b'{"title"}'])
def test_a_patch_without_a_title_is_refused(server: Server, content: bytes) -> None:
    conversation_id = server.create("")
    status, answer = server.call("PATCH", f"{URL}/{conversation_id}", content)
    assert status == 422
    assert answer["message"]


def test_the_first_message_gets_a_title_in_the_background(
    server: Server, named: ScriptedLLMServer
) -> None:
    named.title_answer = "Lines by length"
    named.script(lambda _: finish("Done."), marker="[background]")
    conversation_id = server.create(f"{MESSAGE} [background]")
    until_true(lambda: title(server, conversation_id) == "Lines by length")
    asked = next(
        r for r in named.requests if not r.takes_turn and "[background]" in r.messages_text
    )
    assert asked.body["model"] == "scripted"
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert MESSAGE in asked.body["messages"][-1]["content"]
    server.wait_for_rest(conversation_id)


def test_a_title_that_a_user_gives_meanwhile_stays(
    server: Server, named: ScriptedLLMServer
) -> None:
    answers = threading.Event()
    named.title_answer = gated(text("Too late"), answers)
    named.script(lambda _: finish("Done."), marker="[meanwhile]")
    conversation_id = server.create(f"{MESSAGE} [meanwhile]")
    until_true(lambda: asked_for(named, "[meanwhile]") == 1)
    with ThreadPoolExecutor(1) as pool:
        blank = pool.submit(patch, server, conversation_id, "")
        assert patch(server, conversation_id, "Mine") == (200, True)
        answers.set()
        assert blank.result(20) == (200, True)
    server.wait_for_rest(conversation_id)
    # Whichever of the two PATCHes was first: one that was sent alone decides.
    assert patch(server, conversation_id, "Mine") == (200, True)
    assert title(server, conversation_id) == "Mine"


def asked_for(llm: ScriptedLLMServer, marker: str) -> int:
    """Give how many titles the provider was asked for."""
    return sum(1 for r in llm.requests if not r.takes_turn and marker in r.messages_text)


def test_a_second_request_waits_for_the_title_that_is_being_made(
    server: Server, named: ScriptedLLMServer
) -> None:
    answers = threading.Event()
    named.title_answer = gated(text("Made once"), answers)
    named.script(lambda _: finish("Done."), marker="[together]")
    conversation_id = server.create(f"{MESSAGE} [together]")
    with ThreadPoolExecutor(3) as pool:
        patches = [pool.submit(patch, server, conversation_id, " ") for _ in range(3)]
        until_true(lambda: asked_for(named, "[together]") == 1)
        assert title(server, conversation_id) == f"Conversation {conversation_id[:5]}"
        assert not any(p.done() for p in patches)
        answers.set()
        assert {p.result(20) for p in patches} == {(200, True)}
    assert title(server, conversation_id) == "Made once"
    server.wait_for_rest(conversation_id)


def test_a_blank_title_replaces_one_that_the_user_gave(
    server: Server, settled: str, named: ScriptedLLMServer
) -> None:
    assert patch(server, settled, "Mine") == (200, True)
    named.title_answer = "Made anew"
    assert patch(server, settled, "") == (200, True)
    assert title(server, settled) == "Made anew"


def test_without_a_message_a_blank_title_is_the_number(
    server: Server, named: ScriptedLLMServer
) -> None:
    conversation_id = server.create("")
    assert patch(server, conversation_id, "Mine") == (200, True)
    asked = len(named.requests)
    assert patch(server, conversation_id, " \n ") == (200, True)
    assert title(server, conversation_id) == f"Conversation {conversation_id[:5]}"
    assert len(named.requests) == asked, "there was nothing to ask about"


def test_a_conversation_that_is_deleted_meanwhile_has_no_title(
    server: Server, named: ScriptedLLMServer
) -> None:
    answers = threading.Event()
    named.title_answer = gated(text("For nobody"), answers)
    named.script(lambda _: finish("Done."), marker="[deleted]")
    conversation_id = server.create(f"{MESSAGE} [deleted]")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(patch, server, conversation_id, "")
        until_true(lambda: asked_for(named, "[deleted]") == 1)
        assert server.ok("DELETE", f"{URL}/{conversation_id}") is True
        answers.set()
        assert waiting.result(20) == (200, False)


#: What a model says, and the title that is kept; None for the start of the message.
UGLY: list[tuple[Step | str, str | None]] = [
    # Reasoning, closed, unclosed, opened by the template.
    ("<think>They want to sort.\nSo…</think>\nSort lines by length", "Sort lines by length"),
    ("<thinking a='1'>Hm.</thinking>Sort lines", "Sort lines"),
    ("<think>one</think><think>two</think>\n\nSort lines", "Sort lines"),
    ("<think>They want to sort the lines, so a good title is", None),
    ("Sort lines <think>or should I", "Sort lines"),
    ("They want to sort.\n</think>\n\nSort lines", "Sort lines"),
    # Markdown and markup.
    ("# Sort lines", "Sort lines"),
    ("**Sort lines**", "Sort lines"),
    ("**Title:** Sort lines", "Sort lines"),
    ("```\nSort lines\n```", "Sort lines"),
    ("```text\nSort `ls` output\n```", "Sort `ls` output"),
    ("- *Sort lines*", "Sort lines"),
    ("<title>Sort lines</title><|im_end|>", "Sort lines"),
    ('{"title": "Sort lines"}', "Sort lines"),
    # Quotes.
    ('"Sort lines"', "Sort lines"),
    ("“Sort lines”", "Sort lines"),
    ("'Sort lines'", "Sort lines"),
    ('Sort "odd" lines', "Sort odd lines"),
    ('**"Sort lines."**', "Sort lines"),
    # Introductions and several lines.
    ("Title: Sort lines", "Sort lines"),
    ("Sure! Here's a title for your conversation:\n\nSort lines", "Sort lines"),
    ("Here are some titles:\n1. Sort lines\n2. Lines by length", "Sort lines"),
    ("\n\n  Sort lines  \n\nThis title says what is asked.", "Sort lines"),
    ("Sort\u2028lines", "Sort"),
    ("Sort \x00\x1b[1mlines\u202e\ud800", "Sort lines"),
    ("Node.js: fix the build.", "Node.js: fix the build"),
    ("C# and C++ bindings", "C# and C++ bindings"),
    # Nothing, refusals, placeholders.
    ("", None),
    (" \n\t", None),
    ('""', None),
    ("...", None),
    ("I'm sorry, but I can't help with that.", None),
    ("As an AI language model, I have no opinion.", None),
    ("Es tut mir leid, dabei kann ich nicht helfen.", None),
    ("抱歉，我无法帮助您。", None),
    ("Untitled", None),
    ("Conversation abc12", None),
    # 500 words.
    (NOVEL, "word0 word1 word2 word3 word4 word5 word6 word7…"),
    ("x" * 5000, "x" * 49 + "…"),
    # Twelve languages.
    ("Zeilen nach Länge sortieren", "Zeilen nach Länge sortieren"),
    ("« Trier les lignes »", "Trier les lignes"),
    ("Título: Ordenar líneas", "Ordenar líneas"),
    ("Ordinare le righe", "Ordinare le righe"),
    ("Ordenação de linhas", "Ordenação de linhas"),
    ("„Sortowanie wierszy”", "Sortowanie wierszy"),
    ("Заголовок: Сортировка строк", "Сортировка строк"),
    ("标题：按长度排序", "按长度排序"),
    ("「行を長さで並べる」", "行を長さで並べる"),
    ("제목: 줄 정렬하기", "줄 정렬하기"),
    ("العنوان: ترتيب الأسطر", "ترتيب الأسطر"),
    ("पंक्तियों को क्रमबद्ध करें", "पंक्तियों को क्रमबद्ध करें"),
    ("Satırları uzunluğa göre sırala", "Satırları uzunluğa göre sırala"),
    # Errors, and answers that are none.
    (error(401, "no such key"), None),
    (error(404, "no such model"), None),
    (error(429, "too often", {"Retry-After": "60"}), None),
    (error(500, "broken"), None),
    (error(503, "busy"), None),
    (drop(), None),
    (body(b"<html>"), None),
    (body(b'{"choices": []}'), None),
    (body(b'{"choices": [{"message": {"content": null}}]}'), None),
    (calls(think("Sort lines")), None),
    (calls(raw_call("x", "{"), content="Sort lines"), "Sort lines"),
]


@pytest.mark.parametrize(("answer", "kept"), UGLY)
def test_an_ugly_answer_makes_a_clean_title_or_none(
    server: Server, settled: str, named: ScriptedLLMServer, answer: Step | str, kept: str | None
) -> None:
    assert patch(server, settled, "Before") == (200, True)
    named.title_answer = answer
    assert patch(server, settled, "") == (200, True)
    assert title(server, settled) == (FALLBACK if kept is None else kept)


def test_a_model_that_hangs_holds_up_nobody_and_the_message_makes_the_title(
    server: Server, named: ScriptedLLMServer
) -> None:
    """Four requests wait for a model; the others get the start of the message at once."""
    named.script(lambda _: finish("Done."), marker="[hang]")
    made = [server.create(f"{MESSAGE} [hang]") for _ in range(8)]
    for conversation_id in made:
        server.wait_for_rest(conversation_id)
        until_true(lambda i=conversation_id: title(server, i) == "A fine title")  # type: ignore[misc]
    named.title_answer = hang(60)
    with ThreadPoolExecutor(len(made)) as pool:
        patches = [pool.submit(patch, server, i, "") for i in made]
        until_true(lambda: sum(p.done() for p in patches) == len(made) - 4, seconds=5)
        for _ in range(50):
            assert server.call("GET", "/health") == (200, "OK")
            assert patch(server, server.create(""), "Mine") == (200, True)
        assert sum(p.done() for p in patches) == len(made) - 4, "the others still wait"
        assert {p.result(20) for p in patches} == {(200, True)}
    assert {title(server, i) for i in made} == {FALLBACK}
