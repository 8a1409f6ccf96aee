"""Where tools run. It imports events only: no Django, no LLM, no HTTP."""
