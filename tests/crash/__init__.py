"""Real processes that really die, start at once, or have no room."""
