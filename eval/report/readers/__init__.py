"""A module a kind of run: each has a `read` that turns what lies on disk into a `Chapter`."""
