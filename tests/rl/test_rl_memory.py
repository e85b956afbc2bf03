"""Too little memory, in a process that has no more: one line that names what to lower, and nothing is left behind."""

import resource
from pathlib import Path

import pytest

from kindling.errors import ConfigError
from kindling.rl.policy.memory import within_memory
from kindling.tables import write_jsonl
from tests.cli.running import Started
from tests.rl.training import fork_with_trainers

MORE = 384 * 2**20
LONG = "平安" * 2500  # 15,000 tokens: the mask of attention alone is larger than what is left


def no_more():
    """Let this process have `MORE` bytes beyond what it has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MORE
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def starved(folder, *arguments):
    fork_with_trainers()
    done = Started(*arguments, cwd=folder, first=no_more).finish()
    assert (done.status, done.err.count("\n")) == (2, 1), done.err
    return done.err


@pytest.fixture
def files(tmp_path):
    rows = [{"query": f"写{n}", "response": LONG[n:]} for n in range(4)]
    write_jsonl(tmp_path / "sft.jsonl", rows)
    write_jsonl(tmp_path / "q.jsonl", [{"query": f"{LONG[n:]}{n}"} for n in range(4)])
    return tmp_path


def visible(folder):
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


@pytest.mark.train
@pytest.mark.filterwarnings("default")  # the libraries' own deprecations are not ours to mend
def test_a_training_that_does_not_fit_names_its_settings_and_leaves_no_run(files, tiny_model):
    settings = ("train.batch=4", "train.micro_batch=4", "train.max_tokens=16000", "train.max_steps=1")
    sets = [word for one in settings for word in ("--set", one)]
    said = starved(files, "train", "sft", "--data", "sft.jsonl", "--model", tiny_model, "--out", "run", "--full", *sets)
    assert "out of memory while training: lower train.micro_batch (now 4) or train.max_tokens (now 16000)" in said
    assert visible(files) == ["q.jsonl", "sft.jsonl"]


@pytest.mark.train
@pytest.mark.filterwarnings("default")  # the libraries' own deprecations are not ours to mend
def test_texts_that_do_not_fit_name_the_options_and_leave_no_file(files, tiny_model):
    said = starved(files, "generate", tiny_model, "q.jsonl", "--out", "texts.jsonl", "--max-new-tokens", 9)
    assert "out of memory while drawing 4 texts of up to 9 tokens at once: fewer together (--batch)" in said
    assert visible(files) == ["q.jsonl", "sft.jsonl"]


@pytest.mark.parametrize(
    "words",
    [
        "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.10 GiB",
        "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported",
        "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to",
    ],
)
def test_what_torch_says_becomes_one_line(words):
    with pytest.raises(ConfigError, match=r"^out of memory while drawing: fewer$"), within_memory("drawing", "fewer"):
        raise RuntimeError(words)


@pytest.mark.parametrize("error", [RuntimeError("size mismatch"), ValueError("out of memory")])
def test_any_other_error_stays_itself(error):
    with pytest.raises(type(error), match=str(error)), within_memory("drawing", "fewer"):
        raise error
