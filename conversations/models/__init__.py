"""The tables of a conversation. They start nothing and know no agent."""

from conversations.models.chore import Chore
from conversations.models.conversation import Conversation, TitleSource
from conversations.models.event_record import EventRecord
from conversations.models.feedback import Feedback
from conversations.models.loop_lease import Control, LoopLease

__all__ = [
    "Chore",
    "Control",
    "Conversation",
    "EventRecord",
    "Feedback",
    "LoopLease",
    "TitleSource",
]
