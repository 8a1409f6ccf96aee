"""The tools that the LLM may call, under the names and arguments of the OpenHands CodeAct agent."""

from conversations.agent.tools.parsing import ToolCallError, action_from_call, call_of_action
from conversations.agent.tools.specs import TOOLS

__all__ = ["TOOLS", "ToolCallError", "action_from_call", "call_of_action"]
