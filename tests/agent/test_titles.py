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
