"""A person's channels: what the routes that show, change, verify and end them have in common."""
