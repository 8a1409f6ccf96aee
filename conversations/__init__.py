"""Conversations of coding agents: their log, their loop, their sandbox, their wire."""
