"""The settings room: users and what each has set. It may not know conversations."""
