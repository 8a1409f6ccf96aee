"""The file store of the original OpenHands server, read as it lies there. No database here."""
