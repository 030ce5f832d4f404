"""Statistics over arrays. Pure."""
