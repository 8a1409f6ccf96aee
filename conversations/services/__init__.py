"""Every write: keyword-only, typed, in one transaction each."""
