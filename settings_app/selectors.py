"""Every read of this room: what a user has set, else what the deployment has. No writes here."""

from __future__ import annotations

from dataclasses import dataclass, field

from django.conf import settings

from settings_app.models import UserSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectiveSettings:
    """What a user's conversations work with. "" and None mean: nothing set."""

    llm_model: str
    #: "" where there is no key, or a blank one.
    llm_api_key: str = field(repr=False)
    llm_base_url: str | None
    confirmation_mode: bool
    #: None means the deployment's MAX_ITERATIONS.
    max_iterations: int | None
    #: Every secret text that must not show up in an event: the key and the provider tokens.
    secrets: tuple[str, ...] = field(repr=False)

    @property
    def is_set(self) -> bool:
        """Whether there is a key to ask an LLM with."""
        return bool(self.llm_api_key)


def user_settings(*, user_id: int) -> UserSettings | None:
    """Give a user's row with its secrets, else an unsaved one of the environment, else None.

    One query. Raises SecretUnreadableError when the keys that wrote the secrets are lost.
    """
    # Without first(): there is one at the most, and an order would be worked out for nothing.
    row = next(iter(UserSettings.objects.with_secrets().filter(user_id=user_id)), None)
    if row is None and settings.LLM_API_KEY:
        return UserSettings(
            user_id=user_id, llm_model=settings.LLM_MODEL, llm_base_url=settings.LLM_BASE_URL
        )
    return row


def effective_settings(*, row: UserSettings) -> EffectiveSettings:
    """Fill a row's gaps from the environment. No query."""
    key, base_url = row.llm_api_key.strip(), row.llm_base_url
    # The deployment's key goes where the deployment says, never to an address that a user typed;
    # and only with the deployment's own model: a model's name chooses a host, too.
    is_own = base_url in ("", settings.LLM_BASE_URL) and row.llm_model in ("", settings.LLM_MODEL)
    if not key and is_own:
        key, base_url = settings.LLM_API_KEY, settings.LLM_BASE_URL
    return EffectiveSettings(
        llm_model=row.llm_model or settings.LLM_MODEL,
        llm_api_key=key,
        llm_base_url=base_url or None,
        confirmation_mode=row.confirmation_mode,
        max_iterations=row.max_iterations,
        secrets=tuple(secret for secret in (key, *row.provider_tokens.values()) if secret),
    )


def settings_for(*, user_id: int) -> EffectiveSettings | None:
    """Give what a user's conversations work with; None where nobody has set anything.

    One query. Raises SecretUnreadableError when the keys that wrote the secrets are lost.
    """
    row = user_settings(user_id=user_id)
    return None if row is None else effective_settings(row=row)
