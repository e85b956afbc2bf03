"""The scripted server as its own process, and a project folder whose roles all play on it."""

import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

ROOT = Path(__file__).parents[1]
MODELS = {
    "generator_strong": "strong",
    "generator_weak": "weak",
    "positive": "positive",
    "negative": "negative",
    "judge": "judge",
    "reflector": "reflector",
}


@contextmanager
def scripted_server(*options: str) -> Iterator[int]:
    """The port of a scripted server that lives while the block runs."""
    command = [sys.executable, "-m", "tests.scripted_server", "--port", "0", *options]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.terminate()
        process.wait(timeout=30)


def stats(port: int) -> dict[str, Any]:
    """The server's counts."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/stats", timeout=30) as answer:
        counts: dict[str, Any] = orjson.loads(answer.read())
    return counts


def project(folder: Path, port: int, max_in_flight: int = 256) -> Path:
    """Write a kindling.toml that casts every role on the server; returns its path."""
    lines = ["[endpoints.scripted]", f'base_url = "http://127.0.0.1:{port}/v1"', f"max_in_flight = {max_in_flight}"]
    for role, model in MODELS.items():
        lines += [f"[roles.{role}]", 'endpoint = "scripted"', f'model = "{model}"', "price_in = 1.0", "price_out = 2.0"]
    file = folder / "kindling.toml"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file
