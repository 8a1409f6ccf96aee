"""Go through a store of the original and take over what is in it, one conversation at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import tzinfo
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from django.db import DataError

from conversations.exceptions import DamagedStoreError
from conversations.openhands_store.files import Folder
from conversations.openhands_store.layout import SETTINGS, Place, walked
from conversations.openhands_store.log import EVENTS, event_numbers, log_read
from conversations.openhands_store.metadata import metadata_read
from conversations.openhands_store.settings import settings_fields, settings_read, settings_secrets
from conversations.services.imports import (
    Known,
    Standing,
    conversation_import,
    import_standing,
)
from settings_app.models import UserSettings
from settings_app.selectors import settings_for
from settings_app.serializers import SettingsInputSerializer
from settings_app.services import settings_take_over

if TYPE_CHECKING:
    from settings_app.models import User


class Outcome(StrEnum):
    """What became of something in the store."""

    IMPORTED = "imported"
    ALREADY_THERE = "already_there"
    #: Already there, and the original has stored more since: that stays there.
    WENT_ON = "went_on"
    SKIPPED = "skipped"
    #: Nothing of the kind is in the store.
    ABSENT = "absent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of one conversation, or of the settings."""

    #: Its place in the store.
    path: str
    outcome: Outcome
    conversation_id: str | None = None
    owner: str | None = None
    #: Events that were stored, those that an import adds included.
    events: int = 0
    #: One line for people: why it was skipped, or left as it is.
    reason: str = ""
    #: What was mended or left out.
    notes: list[str] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class StoreImport:
    """One run over one store."""

    store: Folder
    #: Whose the conversations are that the store gives to nobody in particular, and the settings.
    owner: User | None
    #: The users here of the signed-in users there; None gives all of theirs to `owner`.
    owners: Mapping[str, User] | None
    zone: tzinfo
    dry_run: bool
    overwrite_settings: bool
    _stored_secrets: tuple[str, ...] = ()
    _secrets: dict[int | None, tuple[str, ...]] = field(default_factory=dict)

    def settings(self) -> Result:
        """Take over the settings; to be called first: their secrets are masked in the events."""
        try:
            data = settings_read(self.store)
        except DamagedStoreError as error:
            return _no_settings(f"{error.what}; what key is in it is not known and not masked")
        if data is None:
            return Result(path=SETTINGS, outcome=Outcome.ABSENT)
        self._stored_secrets = settings_secrets(data)
        if not isinstance(data, dict):
            return _no_settings("is not a JSON object")
        if self.owner is None:
            return _no_settings("whose it is is not known; --owner NAME says it")
        return self._settings_of(self.owner, data)

    def _settings_of(self, owner: User, data: dict[str, Any]) -> Result:
        serializer = SettingsInputSerializer(data=settings_fields(data))
        if not serializer.is_valid():
            name, errors = next(iter(serializer.errors.items()))
            # Of nested ones only the field: the rest may hold a token.
            what = str(errors[0]) if isinstance(errors, list) else "cannot be used"
            return _no_settings(f"{name}: {what}")
        if self.dry_run:
            has_none = not UserSettings.objects.filter(user_id=owner.pk).exists()
            done = self.overwrite_settings or has_none
        else:
            done = settings_take_over(
                user=owner, fields=serializer.validated_data, overwrite=self.overwrite_settings
            )
        return Result(
            path=SETTINGS,
            outcome=Outcome.IMPORTED if done else Outcome.ALREADY_THERE,
            owner=owner.username,
            reason="" if done else "the owner has settings; they were left as they are",
        )

    def conversations(self, places: list[Place]) -> Iterator[Result]:
        """Take them over one by one; each is told when it is done, whole or not at all."""
        for place in places:
            try:
                yield self._conversation(place)
            except DamagedStoreError as error:
                yield _skipped(place, f"{error.where}: {error.what}")
            except DataError:
                yield _skipped(place, f"{place.path}: the database does not take what is in it")

    def _conversation(self, place: Place) -> Result:
        if place.problem:
            return _skipped(place, f"{place.path}: {place.problem}")
        owner = self._owner_of(place)
        if owner is None:
            what = "--owner NAME" if place.user_id is None else "--map USER_ID=NAME"
            return _skipped(place, f"{place.path}: whose it is is not known; {what} says it")
        with walked(self.store, place.parts) as folder:
            known = import_standing(owner=owner, conversation_id=place.conversation_id)
            if known.standing is not Standing.FREE:
                return _known(place, folder, owner, known)
            return self._new(place, folder, owner)

    def _new(self, place: Place, folder: Folder, owner: User) -> Result:
        conversation_id = place.conversation_id
        metadata = metadata_read(folder, conversation_id.hex)
        with folder.folder(EVENTS) as events:
            log = log_read(events, self.zone)
            if not self.dry_run and not conversation_import(
                owner=owner,
                conversation_id=conversation_id,
                metadata=metadata,
                log=log,
                secrets=self._secrets_of(owner),
            ):
                known = import_standing(owner=owner, conversation_id=conversation_id)
                return _known(place, folder, owner, known)
        return Result(
            path=place.path,
            outcome=Outcome.IMPORTED,
            conversation_id=conversation_id.hex,
            owner=owner.username,
            events=len(log.numbers) + len(log.closing),
            notes=log.notes,
        )

    def _owner_of(self, place: Place) -> User | None:
        if place.user_id is None or self.owners is None:
            return self.owner
        return self.owners.get(place.user_id)

    def _secrets_of(self, owner: User) -> tuple[str, ...]:
        """Give what is masked for an owner: the store's secrets, and those in use here."""
        if owner.pk not in self._secrets:
            here = settings_for(user_id=owner.pk)
            self._secrets[owner.pk] = (*self._stored_secrets, *(here.secrets if here else ()))
        return self._secrets[owner.pk]


def _no_settings(reason: str) -> Result:
    return Result(path=SETTINGS, outcome=Outcome.SKIPPED, reason=f"{SETTINGS}: {reason}")


def _skipped(place: Place, reason: str) -> Result:
    conversation_id = None if place.problem else place.conversation_id.hex
    return Result(
        path=place.path, outcome=Outcome.SKIPPED, conversation_id=conversation_id, reason=reason
    )


def _known(place: Place, folder: Folder, owner: User, known: Known) -> Result:
    """Say of an id that is in use here how it stands; nothing is changed."""
    if known.standing is Standing.TAKEN:
        return _skipped(place, f"{place.path}: this id is not free here")
    outcome, reason = Outcome.ALREADY_THERE, ""
    if known.deleted:
        reason = "it was deleted here"
    elif folder.has(EVENTS):
        with folder.folder(EVENTS) as events:
            numbers, _ = event_numbers(events)
        later = sum(number > known.last_imported for number in numbers)
        if later:
            outcome = Outcome.WENT_ON
            reason = f"it went on in the original: {later} later events there were not imported"
    return Result(
        path=place.path,
        outcome=outcome,
        conversation_id=place.conversation_id.hex,
        owner=owner.username,
        reason=reason,
    )
