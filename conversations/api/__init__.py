"""The REST edge of conversations: parse, call one service, answer. No rules here."""
