"""Bad input to `kindling curate`: one line that says what, where and how to mend; status 2; nothing left behind."""

import fcntl

import orjson
import pytest

from tests.cli.running import project, queries, separate, serve

TOML = """
[endpoints.main]
base_url = "http://127.0.0.1:9/v1"
api_key_env = "KINDLING_TEST_KEY"
[roles.judge]
endpoint = "main"
model = "m"
"""


def refused(done, *words):
    """Check that the command said one line with all `words` and nothing else."""
    assert done.status == 2, (done.status, done.out, done.err)
    assert done.out == ""
    assert done.err.startswith("kindling: ")
    assert done.err.count("\n") == 1
    assert done.err.endswith("\n")
    assert "Traceback" not in done.err
    for word in words:
        assert word in done.err, done.err


FILES = {
    "missing.txt": (None, ["missing.txt", "no such file"]),
    "empty.txt": (b"", ["empty.txt", "the file"]),
    "empty.csv": (b"", ["empty.csv", "the file"]),
    "header.csv": (b"query\n", ["header.csv", "the file"]),
    "blank.jsonl": (b"\n\n", ["blank.jsonl", "the file"]),
    "empty.parquet": (b"", ["empty.parquet", "not Parquet"]),
    "gbk.txt": ("给老师的祝福\n".encode("gb18030"), ["gbk.txt", "not UTF-8", "iconv"]),
    "gbk.csv": ("query\n给老师的祝福\n".encode("gb18030"), ["gbk.csv", "not UTF-8"]),
    "gbk.jsonl": ('{"query": "给老师的祝福"}\n'.encode("gb18030"), ["gbk.jsonl", "not UTF-8"]),
    "utf16.txt": ("给老师的祝福\n".encode("utf-16"), ["utf16.txt", "not UTF-8"]),
    "other.csv": ("text\n给老师的祝福\n".encode(), ["other.csv", "no column 'query'", "there: text"]),
    "later.jsonl": ('{"query": "给老师的祝福"}\n{"q": 1}\n'.encode(), ["later.jsonl", "row 2", "no column 'query'"]),
    "broken.jsonl": (b'{"query": "a"}\n{"query": \n', ["broken.jsonl", "line 2", "not JSON"]),
    "list.jsonl": (b'["a"]\n', ["list.jsonl", "line 1", "not a JSON object"]),
    "surrogate.jsonl": (b'{"query": "\\ud800"}\n', ["surrogate.jsonl", "line 1", "not JSON"]),
    "wide.csv": (b"query\na,b\n", ["wide.csv", "row 1", "more fields"]),
    "quote.csv": (b'query\n"a\n', ["quote.csv", "not CSV"]),
    "text.parquet": ("给老师的祝福\n".encode(), ["text.parquet", "not Parquet"]),
    "junk.txt": (b"\n1\nhttp://example.com\n", ["junk.txt", "none of its 3 rows", "empty", "link"]),
    "queries.docx": (b"x", ["queries.docx", "unknown kind", ".parquet"]),
    "queries": (b"x", ["unknown kind"]),
    f"{'长' * 100}.txt": (None, ["too long"]),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_cannot_be_used(kindling, tmp_path, name):
    content, words = FILES[name]
    if content is not None:
        (tmp_path / name).write_bytes(content)
    before = sorted(tmp_path.iterdir())
    refused(kindling("curate", name, "--out", "run"), *words)
    refused(kindling("curate", name, "--out", "run", "--dry-run"), *words)
    assert sorted(tmp_path.iterdir()) == before


def test_a_folder_is_no_file(kindling, tmp_path):
    (tmp_path / "folder.txt").mkdir()
    refused(kindling("curate", "folder.txt", "--out", "run"), "folder.txt", "is a folder")


ARGUMENTS = {
    "judge": (["--judge", "oracle"], ["unknown judge 'oracle'", "debate, llm, embedded"]),
    "learned judge without a path": (["--judge", "lexical:"], ["unknown judge"]),
    "learned judge that is not there": (["--judge", "lexical:no.json"], ["no.json"]),
    "source": (["--source", "the web"], ["unknown source 'the web'", "file:PATH"]),
    "source without a path": (["--source", "file:"], ["unknown source"]),
    "source that is not there": (["--source", "file:no.csv"], ["no.csv", "No such file"]),
    "source of one column": (["--source", "file:queries.txt"], ["queries.txt", "no columns"]),
    "llm without an endpoint": (["--source", "llm"], ["roles.generator_strong"]),
    "judge without an endpoint": (["--judge", "llm"], ["roles.judge"]),
    "examples that are not there": (["--examples", "no.jsonl"], ["no.jsonl", "No such file"]),
    "examples of one column": (["--examples", "queries.txt"], ["queries.txt"]),
    "pairing": (["--pairing", "random"], ["curate.pairing", "closest_length"]),
    "task": (["--set", "project.task=limericks"], ["limericks"]),
    "task with a path": (["--set", "project.task=../../tests"], ["tests"]),
    "set without a value": (["--set", "curate.candidates"], ["--set", "section.name=value"]),
    "set without a name": (["--set", "=5"], ["--set"]),
    "set of the wrong type": (["--set", "curate.candidates=many"], ["curate.candidates", "integer"]),
    "set of an unknown name": (["--set", "curate.candidate=5"], ["curate.candidate"]),
    "set below a value": (["--set", "curate.candidates.x=5"], ["curate.candidates"]),
    "set of a section": (["--set", "curate=5"], ["curate"]),
    "too many candidates": (["--candidates", "65"], ["curate.candidates", "64"]),
    "no minutes": (["--max-minutes", "0"], ["budget.max_minutes"]),
    "no number": (["--set", "budget.max_cost=nan"], ["budget.max_cost"]),
    "unknown role": (["--set", "roles.poet.model=m"], ["poet"]),
    "role on an unknown endpoint": (["--set", 'roles.judge={endpoint="x",model="m"}'], ["endpoints.x", "there: none"]),
    "another column": (["--column", "问题", "--source", "embedded", "--set", "retriever.k=-1"], ["retriever.k"]),
}


@pytest.mark.parametrize("case", ARGUMENTS)
def test_an_argument_that_cannot_be_used(kindling, tmp_path, case):
    arguments, words = ARGUMENTS[case]
    file = queries(tmp_path, 3)
    refused(kindling("curate", file, "--out", "run", *arguments), *words)
    assert not (tmp_path / "run").exists()


CONFIGS = {
    "broken": ("[curate\n", ["kindling.toml", "not TOML", "line 1"]),
    "not UTF-8": ("[curate] # 祝福\n", ["kindling.toml", "cannot be read"]),
    "an unknown section": ("[curation]\ncandidates = 3\n", ["kindling.toml", "curation"]),
    "an unknown name": ("[curate]\ncandidtes = 3\n", ["kindling.toml", "curate.candidtes"]),
    "a value of the wrong type": ('[curate]\nmargin = "wide"\n', ["kindling.toml", "curate.margin"]),
    "an endpoint without a URL": ("[endpoints.main]\n", ["endpoints.main.base_url"]),
    "a URL of another kind": ('[endpoints.main]\nbase_url = "main"\n', ["endpoints.main", "http://"]),
    "a role without a model": (TOML.replace('model = "m"', ""), ["roles.judge", "no model"]),
    "no key": (TOML, ["export KINDLING_TEST_KEY="]),
    "no server": (TOML.replace("api_key_env", "# "), ["endpoint 'main'", "is the server up?"]),
}


@pytest.mark.parametrize("case", CONFIGS)
def test_a_configuration_that_cannot_be_used(kindling, tmp_path, case):
    text, words = CONFIGS[case]
    file = queries(tmp_path, 3)
    encoding = "gb18030" if case == "not UTF-8" else "utf-8"
    (tmp_path / "kindling.toml").write_text(text, encoding=encoding)
    refused(kindling("curate", file, "--out", "run", "--set", "endpoints.main.retries=0") if case == "no server"
            else kindling("curate", file, "--out", "run"), *words)  # fmt: skip
    assert not (tmp_path / "run").exists()


def test_a_key_that_the_endpoint_refuses_is_named_and_not_shown(kindling, tmp_path, monkeypatch):
    monkeypatch.setenv("KINDLING_TEST_KEY", "sk-not-this-one")
    with serve(key="sk-another") as server:
        project(tmp_path, server, 'api_key_env = "KINDLING_TEST_KEY"')
        file = queries(tmp_path, 3)
        done = kindling("curate", file, "--out", "run")
        refused(done, "HTTP 401", "KINDLING_TEST_KEY")
        assert "sk-" not in done.err
        assert not (tmp_path / "run").exists(), "nothing was paid, so nothing stays"
        monkeypatch.setenv("KINDLING_TEST_KEY", "sk-another")
        assert kindling("curate", file, "--out", "run").status == 0


def test_what_was_paid_before_the_endpoint_refused_stays(kindling, tmp_path):
    with serve(key="none") as server:
        project(tmp_path, server, "max_in_flight = 1")
        command = ("curate", queries(tmp_path, 3), "--out", "run", "--candidates", 2, "--set", "curate.in_flight=1")
        assert kindling(*command, "--max-calls", 5).status == 0
        server.script = type(server.script)(key="changed")
        refused(kindling(*command, "--resume"), "HTTP 401")
        server.script = type(server.script)(key="none")
        assert kindling(*command, "--resume").status == 0
        assert server.stats()["repeated"] == 0


def test_a_run_folder_that_is_used(kindling, tmp_path):
    file = queries(tmp_path, 3)
    assert kindling("curate", file, "--out", "run").status == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    refused(kindling("curate", file, "--out", "run"), "run: already used", "--resume")
    refused(kindling("curate", file, "--out", "run", "--resume", "--seed", 1), "seed = 0, not 1")
    refused(kindling("curate", file, "--out", "run", "--resume", "--candidates", 2), "curate.candidates = 4, not 2")
    refused(kindling("curate", file, "--out", "run", "--resume", "--limit", 2), "limit = null, not 2")
    file.write_text("给老师的祝福\n", encoding="utf-8")
    refused(kindling("curate", file, "--out", "run", "--resume"), "queries.sha256")
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before


def test_a_folder_of_something_else(kindling, tmp_path):
    file = queries(tmp_path, 3)
    (tmp_path / "run").mkdir()
    (tmp_path / "run/thesis.txt").write_text("x")
    refused(kindling("curate", file, "--out", "run"), "already used")
    refused(kindling("curate", file, "--out", "run", "--resume"), "no run.json")
    (tmp_path / "run/run.json").write_text("[]")
    refused(kindling("curate", file, "--out", "run", "--resume"), "not a run record")
    (tmp_path / "run/run.json").write_bytes(orjson.dumps({"command": "train", "settings": {}}))
    refused(kindling("curate", file, "--out", "run", "--resume"), "kindling train")
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["run.json", "thesis.txt"]


def test_a_run_folder_that_cannot_be_made(kindling, tmp_path):
    file = queries(tmp_path, 3)
    refused(kindling("curate", file, "--out", file), "is a file")
    refused(kindling("curate", file, "--out", file / "run"), "cannot be written")
    refused(kindling("curate", file, "--out", "/proc/run"), "/proc/run", "cannot be written")
    refused(kindling("curate", file, "--out", "长" * 100), "cannot be written", "too long")


def test_a_run_folder_in_use(kindling, tmp_path):
    file = queries(tmp_path, 3)
    assert kindling("curate", file, "--out", "run").status == 0
    with (tmp_path / "run/.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        events = (tmp_path / "run/events.jsonl").read_bytes()
        refused(kindling("curate", file, "--out", "run", "--resume"), "another process works in this run folder")
        assert (tmp_path / "run/events.jsonl").read_bytes() == events
    assert kindling("curate", file, "--out", "run", "--resume").status == 0


def test_an_empty_folder_that_was_there_may_be_used_and_stays(kindling, tmp_path):
    file = queries(tmp_path, 3)
    (tmp_path / "run").mkdir()
    refused(kindling("curate", file, "--out", "run", "--source", "file:no.csv"), "no.csv")
    assert list((tmp_path / "run").iterdir()) == []
    assert kindling("curate", file, "--out", "run").status == 0


def test_a_process_of_its_own_says_the_same(tmp_path):
    refused(separate("curate", "missing.txt", "--out", "run", cwd=tmp_path), "missing.txt: no such file")
    assert list(tmp_path.iterdir()) == []


SECRETS = {
    "the key in place of its variable's name": ('api_key_env = "sk-SECRET"', "api_key_env"),
    "the key beside its variable's name": ('api_key = "sk-SECRET"', "api_key"),
    "the key in the URL": ('base_url = "http://user:sk-SECRET@127.0.0.1:9/v1"', "base_url"),
    "the key after the URL": ('base_url = "http://127.0.0.1:9/v1?key=sk-SECRET"', "base_url"),
}


@pytest.mark.parametrize("case", SECRETS)
def test_a_secret_in_the_configuration_is_refused_and_not_repeated(kindling, tmp_path, case):
    line, word = SECRETS[case]
    lines = TOML.strip().splitlines()
    kept = [one for one in lines if one.split(" ")[0] != line.split(" ")[0]]
    kept.insert(1, line)
    (tmp_path / "kindling.toml").write_text("\n".join(kept), encoding="utf-8")
    done = kindling("curate", queries(tmp_path, 3), "--out", "run")
    refused(done, "endpoints.main", word)
    assert "SECRET" not in done.err
    assert not (tmp_path / "run").exists()
