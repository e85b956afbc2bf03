"""A resumed run is the same run: whatever shapes its rows, files of the task pack too, is compared by content."""

import shutil

import pytest

from kindling.prompts.taskpack import load_pack
from kindling.tables import write_jsonl
from tests.cli.running import queries


@pytest.fixture
def stopped(kindling, tmp_path):
    """A run with the project's own copies of the pack's data, and the command that resumes it."""
    pack = tmp_path / "prompts" / "greetings"
    pack.mkdir(parents=True)
    for name in ("corpus.jsonl", "pack.toml"):
        shutil.copyfile(load_pack("greetings").file(name), pack / name)
    command = ("curate", queries(tmp_path, 6), "--out", "run", "--json")
    assert kindling(*command).status == 0
    return pack, lambda: kindling(*command, "--resume")


def test_an_unchanged_run_resumes(stopped):
    assert stopped[1]().status == 0


def test_other_examples_in_the_pack_are_another_run(stopped):
    pack, resume = stopped
    write_jsonl(pack / "corpus.jsonl", [{"query": "写一句", "response": "清风徐来"}])
    done = resume()
    assert done.status == 2
    assert "retriever" in done.err


def test_another_idea_of_brief_is_another_run(stopped):
    pack, resume = stopped
    file = pack / "pack.toml"
    file.write_text(file.read_text(encoding="utf-8").replace("brief_chars = 50", "brief_chars = 12"), encoding="utf-8")
    done = resume()
    assert done.status == 2
    assert "pack" in done.err
