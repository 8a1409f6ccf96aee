"""The agent loop: ask the LLM, carry out its actions, record both. No Django, no HTTP."""
