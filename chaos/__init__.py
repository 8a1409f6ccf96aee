"""Kills and stalls a whole deployment by a seeded plan, and checks that nothing was lost by it."""
