"""Settings on the wire: what a save may look like, and what is answered. No writes here."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NoReturn

from django.conf import settings
from rest_framework import serializers

from outbound.policy import URL_IN_MODEL
from settings_app.models import UserSettings
from settings_app.selectors import effective_settings

if TYPE_CHECKING:
    from outbound.policy import OutboundPolicy

PROVIDERS = ("github", "gitlab")
_CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f]")


def _refuse_type(wanted: str, value: object) -> NoReturn:
    # JSON's words, and never the value: it may be a secret in the wrong place.
    names = {
        dict: "an object",
        list: "an array",
        str: "a string",
        bool: "a boolean",
        type(None): "null",
    }
    msg = f"must be {wanted}, not {names.get(type(value), 'a number')}"
    raise serializers.ValidationError(msg, code="type_error")


class LineField(serializers.CharField):
    """One line of text, from a JSON string only; a plain CharField takes numbers too."""

    def __init__(self, help_text: str, *, max_length: int) -> None:
        super().__init__(
            required=False,
            allow_null=True,
            allow_blank=True,
            max_length=max_length,
            help_text=help_text,
        )

    def run_validation(self, data: Any = serializers.empty) -> Any:
        """Refuse what is not text before anything converts it."""
        if isinstance(data, str):
            if _CONTROL_CHARACTER.search(data.strip()):
                msg = "must be one line without control characters"
                raise serializers.ValidationError(msg, code="control_character")
        elif data not in (None, serializers.empty):
            _refuse_type("a string", data)
        return super().run_validation(data)


class BaseUrlField(LineField):
    """An address of an LLM; in accounts mode none that its text alone shows to lie inside.

    Names are not resolved here: what one leads to may change, and is checked at each connection.
    """

    def to_internal_value(self, data: Any) -> str:
        """Refuse a literal address, or localhost, that the operator has not allowed."""
        url = str(super().to_internal_value(data))
        policy: OutboundPolicy | None = settings.OUTBOUND_POLICY
        if policy is not None and (refusal := policy.refusal(url)):
            raise serializers.ValidationError(refusal, code="address_refused")
        return url


class ModelField(LineField):
    """A model's name; where addresses are checked, it may not hold one."""

    def to_internal_value(self, data: Any) -> str:
        """Refuse an address: some providers would be asked there."""
        name = str(super().to_internal_value(data))
        if settings.OUTBOUND_POLICY is not None and "://" in name:
            raise serializers.ValidationError(URL_IN_MODEL, code="address_refused")
        return name


class FlagField(serializers.BooleanField):
    """A JSON true or false; a plain BooleanField takes "yes" and 1 too."""

    def __init__(self, help_text: str) -> None:
        super().__init__(required=False, allow_null=True, help_text=help_text)

    def to_internal_value(self, data: Any) -> bool:
        """Take a boolean as it is."""
        return data if isinstance(data, bool) else _refuse_type("true or false", data)


class FactorField(serializers.FloatField):
    """A JSON number."""

    def to_internal_value(self, data: Any) -> float:
        """Take a number that a column can hold."""
        if isinstance(data, bool) or not isinstance(data, int | float):
            _refuse_type("a number", data)
        # Compared before it is converted: an integer of 400 digits is legal JSON, and no float.
        if not 0 <= data <= 1000:  # noqa: PLR2004  # named by the message
            msg = "must be between 0 and 1000"
            raise serializers.ValidationError(msg, code="out_of_range")
        return float(data)


class CountField(serializers.IntegerField):
    """A JSON integer."""

    def to_internal_value(self, data: Any) -> int:
        """Take an integer that a column can hold; for JSON, 40.0 is one too."""
        if isinstance(data, float) and data.is_integer():
            data = int(data)
        if isinstance(data, bool) or not isinstance(data, int):
            _refuse_type("an integer", data)
        if not 1 <= data <= 1_000_000:  # noqa: PLR2004  # named by the message
            msg = "must be between 1 and 1000000"
            raise serializers.ValidationError(msg, code="out_of_range")
        return data


class ProviderTokensField(serializers.DictField):
    """A map of provider to token; a token for a provider that nobody knows is refused, not lost."""

    def __init__(self) -> None:
        super().__init__(
            required=False,
            allow_null=True,
            child=LineField("A token; empty or masked keeps the stored one.", max_length=4096),
            help_text=f"Tokens of {' and '.join(PROVIDERS)}. They are never answered.",
        )

    def to_internal_value(self, data: Any) -> dict[Any, Any]:
        """Check the names, then each token."""
        if not isinstance(data, dict):
            _refuse_type("an object", data)
        for provider in data:
            if provider not in PROVIDERS:
                known = ", ".join(PROVIDERS)
                msg = f"knows no provider {provider[:40]!a}; the known ones are {known}"
                raise serializers.ValidationError(msg, code="unknown_provider")
        return super().to_internal_value(data)


class SettingsInputSerializer(serializers.Serializer[UserSettings]):
    """A save: every field may be absent or null; unknown ones are ignored."""

    llm_model = ModelField("litellm's name of the model, provider/name.", max_length=300)
    llm_base_url = BaseUrlField(
        "Where the model is served, if not by its provider.", max_length=2000
    )
    llm_api_key = LineField("The key. It is never answered.", max_length=16384)
    agent = LineField("The agent's name.", max_length=100)
    language = LineField("The web client's language.", max_length=35)
    confirmation_mode = FlagField("Whether each command waits for a yes.")
    security_analyzer = LineField("There is none.", max_length=100)
    remote_runtime_resource_factor = FactorField(
        required=False, allow_null=True, help_text="Kept for the web client."
    )
    enable_default_condenser = FlagField("Kept for the web client.")
    enable_sound_notifications = FlagField("Whether the web client makes sounds.")
    user_consents_to_analytics = FlagField("What the user said; nobody is watched.")
    provider_tokens = ProviderTokensField()
    max_iterations = CountField(
        required=False, allow_null=True, help_text="Steps of the agent for one message."
    )


def settings_body(*, row: UserSettings) -> dict[str, Any]:
    """Give the answer of GET /api/settings for a row with its secrets; no secret is in it."""
    effective = effective_settings(row=row)
    return {
        "llm_model": effective.llm_model,
        "llm_base_url": row.llm_base_url or None,
        "llm_api_key": None,
        "llm_api_key_set": effective.is_set,
        "agent": row.agent,
        "language": row.language,
        "confirmation_mode": row.confirmation_mode,
        "security_analyzer": row.security_analyzer or None,
        "remote_runtime_resource_factor": row.remote_runtime_resource_factor,
        "provider_tokens_set": {name: bool(row.provider_tokens.get(name)) for name in PROVIDERS},
        "enable_default_condenser": row.enable_default_condenser,
        "enable_sound_notifications": row.enable_sound_notifications,
        "user_consents_to_analytics": row.user_consents_to_analytics,
        "max_iterations": row.max_iterations,
        # Handrail has none of these; the client of the contract gets its keys all the same.
        "secrets_store": {"provider_tokens": {}},
        "sandbox_base_container_image": None,
        "sandbox_runtime_container_image": None,
    }
