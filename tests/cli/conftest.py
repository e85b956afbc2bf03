"""The command in this process, run from an empty folder."""

import pytest

from tests.cli.running import in_process


@pytest.fixture
def kindling(monkeypatch, capsys, tmp_path):
    """Run `kindling ARGUMENTS`; gives a `Done`."""
    monkeypatch.chdir(tmp_path)
    return in_process(monkeypatch, capsys)
