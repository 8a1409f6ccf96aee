"""The tables of this room: users and what each has set. Rules for writing live in services.py."""

from __future__ import annotations

from django.contrib.auth.models import AbstractUser
from django.db import models

from settings_app.crypto import EncryptedMapField, EncryptedTextField

DEFAULT_AGENT = "CodeActAgent"
DEFAULT_LANGUAGE = "en"
#: The encrypted columns: left out of every query that does not ask for them.
SECRET_COLUMNS = ("llm_api_key", "provider_tokens")


class User(AbstractUser):
    """A person, or the one local user of a deployment without a login."""


class UserSettingsQuerySet(models.QuerySet["UserSettings"]):
    """Reads of settings, as a sentence."""

    def with_secrets(self) -> UserSettingsQuerySet:
        """Load and decrypt the secret columns too; reading raises SecretUnreadableError."""
        return self.defer(None)


class UserSettingsManager(models.Manager["UserSettings"]):
    """Leaves the secret columns in the database, so that no list decrypts them by accident."""

    def get_queryset(self) -> UserSettingsQuerySet:
        """Give all rows, without their secrets."""
        return UserSettingsQuerySet(self.model, using=self._db).defer(*SECRET_COLUMNS)

    def with_secrets(self) -> UserSettingsQuerySet:
        """Give all rows with their secrets, decrypted as they are read."""
        return self.get_queryset().with_secrets()


class UserSettings(models.Model):
    """What one user has set. "" means: nothing set."""

    # No way back from the user: that one would go past the manager, and decrypt.
    user = models.OneToOneField(User, on_delete=models.CASCADE, primary_key=True, related_name="+")
    llm_model = models.CharField(max_length=300, blank=True, default="")
    llm_base_url = models.CharField(max_length=2000, blank=True, default="")
    llm_api_key = EncryptedTextField(blank=True, default="")
    agent = models.CharField(max_length=100, default=DEFAULT_AGENT)
    language = models.CharField(max_length=35, default=DEFAULT_LANGUAGE)
    confirmation_mode = models.BooleanField(default=False)
    security_analyzer = models.CharField(max_length=100, blank=True, default="")
    remote_runtime_resource_factor = models.FloatField(null=True, blank=True)
    enable_default_condenser = models.BooleanField(default=True)
    enable_sound_notifications = models.BooleanField(default=False)
    #: None until the user was asked.
    user_consents_to_analytics = models.BooleanField(null=True, blank=True)
    #: Provider (github, gitlab) to token.
    provider_tokens = EncryptedMapField(blank=True, default=dict)
    #: None means the deployment's MAX_ITERATIONS.
    max_iterations = models.PositiveIntegerField(null=True, blank=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = UserSettingsManager()

    class Meta:
        verbose_name_plural = "user settings"

    def __str__(self) -> str:
        return f"Settings of user {self.pk}"


class RequestCounter(models.Model):
    """A user's requests in the while that REQUEST_THROTTLE names. On PostgreSQL only, unlogged."""

    # Without a constraint: a request of a user who is being deleted must not fail here.
    user = models.OneToOneField(
        User, on_delete=models.CASCADE, primary_key=True, related_name="+", db_constraint=False
    )
    #: When the first of them came.
    begun_at = models.DateTimeField()
    requests = models.IntegerField()

    def __str__(self) -> str:
        return f"{self.requests} requests of user {self.pk}"
