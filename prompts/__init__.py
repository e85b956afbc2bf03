"""Prompts: a folder a task pack, and the library that finds, checks, hashes and renders its templates."""
