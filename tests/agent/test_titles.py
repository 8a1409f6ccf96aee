"""What is kept of a model's answer as a title, and what is made of a message without one."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversations.agent.titles import title_from_answer, title_from_start

#: What ugly answers are made of.
PIECES = st.sampled_from(
    [
        "<think>",
        "</think>",
        "```",
        "**",
        '"',
        "“",
        "\n",
        "\r",
        "\u2028",
        "Title:",
        "# ",
        "- ",
        "1. ",
        "I'm sorry",
        '{"title": "',
        '"}',
        "\x00",
        "\ud800",
        "\u202e",
        "é",
        "e\u0301",
        "👩‍💻",
        "標題：",
    ]
)
ANSWERS = st.lists(PIECES | st.text(max_size=20), max_size=30).map("".join)


#: Answers as models give them, and what is kept.
ANSWERED = [
    ('```json\n{"title": "Sort lines"}\n```', "Sort lines"),
    ('Here is the JSON:\n{"title": "Sort lines"}', "Sort lines"),
    ('{"title": null}', ""),
    ('{"name": "x"}', ""),
    ("## Title\n\nSort lines", "Sort lines"),
    ("**Title**\nSort lines", "Sort lines"),
    ('Suggested title\n\n"Sort lines"', "Sort lines"),
    ("Titel\nZeilen sortieren", "Zeilen sortieren"),
    ("[THINK]hm[/THINK]Sort lines", "Sort lines"),
    ("<scratchpad>x</scratchpad>Sort lines", "Sort lines"),
    ("◁think▷hm◁/think▷Sort lines", "Sort lines"),
    ("<|channel|>analysis<|message|>Hm<|end|><|channel|>final<|message|>Sort lines", "Sort lines"),
    ("<b>Sort lines</b>", "Sort lines"),
    ("Sort **lines** by length", "Sort lines by length"),
    ("🎯 **Sort lines**", "🎯 Sort lines"),
    ("1. Sort lines", "Sort lines"),
    ("Sort lines<end_of_turn>", "Sort lines"),
    ("Sort lines (10 characters)", "Sort lines"),
    ("assistant\n\nSort lines", "Sort lines"),
    ("Größen\u00adänderung", "Größenänderung"),
    ("Sure, I would call it: Sort lines", "Sort lines"),
    ("OK, here it is:\nSort lines", "Sort lines"),
    ("Title for your conversation: Sort lines", "Sort lines"),
    ("Voici un titre : Trier les lignes", "Trier les lignes"),
    ("Hier ist ein Titel: Zeilen sortieren", "Zeilen sortieren"),
    ("¡Claro! Aquí tienes un título: Ordenar líneas", "Ordenar líneas"),
    ("以下是标题：排序", "排序"),
    ("タイトル案：行を並べる", "行を並べる"),
    ("Название беседы: Сортировка", "Сортировка"),
    ("Je ne peux pas vous aider.", ""),
    ("我无法帮助", ""),
    ("Please provide the message.", ""),
    ("No title", ""),
    ("Title", ""),
]
#: What looks like decoration, or a refusal, and is what was meant.
MEANT = [
    "Return Promise<Response> from handler",
    "Use the <title> tag in HTML",
    "Title case: convert helper",
    "Chat title bug: empty string shown",
    "OK button: does nothing on click",
    "Great Expectations: parse text",
    "Node.js: fix the build",
    "I can't log in to Postgres",
    "Fix __init__ order",
    "Here-doc quoting: fix",
    "2 bugs: fix",
    "Otomatik: düzelt",
]


@pytest.mark.parametrize(("answer", "kept"), [*ANSWERED, *((title, title) for title in MEANT)])
def test_what_models_say_around_a_title_is_left_out(answer: str, kept: str) -> None:
    assert title_from_answer(answer) == kept


@pytest.mark.parametrize(
    "piece",
    [
        "<think ",
        "<think",
        "[think",
        "a:\n",
        "...\n",
        "Title:\n",
        '{"title":"\\',
        "**",
        "<|",
        "here is ",
    ],
)
def test_a_huge_answer_takes_no_time_that_grows_with_its_square(piece: str) -> None:
    # The suite's time limit is the assertion: by its square, a million characters take minutes.
    assert len(title_from_answer(piece * (1_000_000 // len(piece)))) <= 50


@given(ANSWERS)
def test_whatever_is_answered_gives_one_short_clean_line_or_nothing(answer: str) -> None:
    title = title_from_answer(answer)
    assert len(title) <= 50
    assert title == " ".join(title.split())
    assert not set(title) & set('"“”«»「」\x00\u202e')
    assert all(unicodedata.category(char) not in {"Cc", "Cs"} for char in title)
    assert not title or any(map(str.isalnum, title))


@pytest.mark.parametrize(
    "tail",
    ["e\u0301" * 40, "👩‍💻" * 30, "नमस्ते" * 20, "字" * 80, "x" * 80, "word " * 40],
)
def test_a_long_title_is_cut_between_characters(tail: str) -> None:
    title = title_from_answer(f"Title of {tail}")
    assert 25 <= len(title) <= 50
    assert title.endswith("…")
    kept = title[:-1]
    following = f"Title of {tail}"[len(kept)]
    assert not unicodedata.category(following).startswith("M")
    assert following != "\u200d"
    assert not kept.endswith("\u200d")


@pytest.mark.parametrize(
    ("message", "title"),
    [
        ("", ""),
        (" \n\t ", ""),
        ("Short.", "Short."),
        ("x" * 30, "x" * 30),
        ("x" * 31, "x" * 30 + "..."),
        ("Sort the\nlines  of a file by their length.", "Sort the lines of a file by th..."),
        ("Dateigröße prüfen", "Dateigröße prüfen"),
    ],
)
def test_a_title_from_a_message_is_its_start(message: str, title: str) -> None:
    assert title_from_start(message) == title
