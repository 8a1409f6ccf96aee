"""What can happen in a conversation, as frozen facts; how it looks in a row and on the wire."""
