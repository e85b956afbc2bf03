"""Tests, a folder a room; `scripted_server` is what they and the benchmarks talk to."""
