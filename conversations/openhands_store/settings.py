"""`settings.json` of a store: the fields of a save here, and the secrets that it holds."""

from __future__ import annotations

from typing import Any

from conversations.events.base import JSONObject
from conversations.events.cleaning import clean
from conversations.openhands_store.files import MAX_METADATA_BYTES, Folder
from conversations.openhands_store.layout import SETTINGS


def settings_read(store: Folder) -> Any:
    """Give what the file says, None where there is none. Raises DamagedStoreError."""
    if not store.has(SETTINGS):
        return None
    data, _ = store.json(SETTINGS, MAX_METADATA_BYTES)
    return clean(data)


def _tokens(data: JSONObject) -> JSONObject:
    """Give the provider tokens in whichever form the versions of the original have kept them."""
    secrets_store = data.get("secrets_store")
    stored = secrets_store.get("provider_tokens") if isinstance(secrets_store, dict) else None
    stored = stored or data.get("provider_tokens")
    if not isinstance(stored, dict):
        return {}
    return {
        provider: token.get("token") if isinstance(token, dict) else token
        for provider, token in stored.items()
    }


def settings_fields(data: JSONObject) -> JSONObject:
    """Give the fields of a save, unchecked; an empty or masked key is left out and stays unset."""
    tokens = {name: token for name, token in _tokens(data).items() if not _is_unset(token)}
    fields = {name: value for name, value in data.items() if value is not None}
    if _is_unset(fields.get("llm_api_key")):
        fields.pop("llm_api_key", None)
    return {**fields, "provider_tokens": tokens}


def _is_unset(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip().strip("*"))


def settings_secrets(data: Any) -> tuple[str, ...]:
    """Give every secret text in it, to mask events by, also where other fields are damaged."""
    if not isinstance(data, dict):
        return ()
    values = [data.get("llm_api_key"), *_tokens(data).values()]
    return tuple(
        value.strip() for value in values if isinstance(value, str) and not _is_unset(value)
    )
