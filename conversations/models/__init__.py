"""The tables of a conversation. They start nothing and know no agent."""

from conversations.models.chore import Chore
from conversations.models.conversation import Conversation, TitleSource
from conversations.models.daily_usage import DailyUsage
from conversations.models.event_record import EventRecord
from conversations.models.feedback import Feedback
from conversations.models.loop_lease import Control, LoopLease
from conversations.models.sweep_run import SweepRun
from conversations.models.turn_failure import TurnFailure

__all__ = [
    "Chore",
    "Control",
    "Conversation",
    "DailyUsage",
    "EventRecord",
    "Feedback",
    "LoopLease",
    "SweepRun",
    "TitleSource",
    "TurnFailure",
]
