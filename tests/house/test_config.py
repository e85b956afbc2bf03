"""The configuration: what it refuses, each in one line that names the place, and what it never repeats or keeps."""

import tomllib

import pytest

from kindling.cli.init import TEMPLATE
from kindling.config import Config, load_config
from kindling.errors import ConfigError

ENDPOINT = '[endpoints.main]\nbase_url = "http://127.0.0.1:1/v1"\n'
ROLE = f'{ENDPOINT}[roles.judge]\nendpoint = "main"\nmodel = "m"\n'


def load(folder, text):
    file = folder / "kindling.toml"
    file.write_text(text, encoding="utf-8")
    return load_config(file)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (f'{ENDPOINT}api_key_env = "sk-SECRET"\n', "endpoints.main: api_key_env"),
        ('[endpoints.main]\nbase_url = "https://me:SECRET@host/v1"\n', "endpoints.main: base_url"),
        ('[endpoints.main]\nbase_url = "https://host/v1?key=SECRET"\n', "endpoints.main: base_url"),
        ('[endpoints.main]\nbase_url = "sk-SECRET"\n', "endpoints.main: base_url"),
        (f'{ROLE}extra = {{api_key = "SECRET"}}\n', "roles.judge.extra"),
        (f'{ROLE}extra = {{a = [{{Authorization = "Bearer SECRET"}}]}}\n', "roles.judge.extra"),
    ],
)
def test_a_secret_in_the_file_is_refused_and_not_repeated(tmp_path, text, says):
    with pytest.raises(ConfigError) as refused:
        load(tmp_path, text)
    message = str(refused.value)
    assert says in message
    assert "SECRET" not in message
    assert "\n" not in message


@pytest.mark.parametrize("name", ["model", "messages", "stream", "n", "seed", "response_format", "temperature"])
def test_extra_fields_cannot_replace_what_kindling_sends(tmp_path, name):
    with pytest.raises(ConfigError, match=rf"roles\.judge\.extra: .*'{name}'"):
        load(tmp_path, f"{ROLE}extra = {{{name} = 1}}\n")


def test_extra_fields_that_endpoints_know_are_taken(tmp_path):
    config = load(tmp_path, f"{ROLE}extra = {{chat_template_kwargs = {{enable_thinking = false}}, min_p = 0.1}}\n")
    assert config.role("judge").extra == {"chat_template_kwargs": {"enable_thinking": False}, "min_p": 0.1}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[roles.judge]\nmodel = "m"\n', "roles.judge: model 'm' is set but no endpoint"),
        (f"{ENDPOINT}[roles.judge]\nendpoint = 'main'\n", "roles.judge: endpoint 'main' is set but no model"),
        (f"{ROLE}[roles.positive]\nendpoint = 'main'\nmodel = 'm'\nvotes = 3\n", "roles.positive: votes"),
        ("[roles.juge]\nmodel = 'm'\n", "juge"),
        ("[curate]\ncandidate = 4\n", "curate.candidate: no such setting"),
        (f"[curate]\nmax_query_chars = {2**63}\n", "curate.max_query_chars: a number in TOML has at most 64 bits"),
        ("root = '/elsewhere'\n", "root"),
    ],
)
def test_a_setting_that_would_do_nothing_is_refused(tmp_path, text, says):
    with pytest.raises(ConfigError) as refused:
        load(tmp_path, text)
    assert says in str(refused.value)


def test_overrides_are_checked_like_the_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_config(None, ("curate.candidates=8", "project.task=slogans")).curate.candidates == 8
    with pytest.raises(ConfigError, match=r"curate\.candidates"):
        load_config(None, ("curate.candidates=0",))
    with pytest.raises(ConfigError, match="not a section"):
        load_config(None, ("curate.candidates=8", "curate.candidates.x=1"))


def test_the_file_that_init_writes_is_the_default_and_every_example_in_it_is_valid():
    text = TEMPLATE.format(task="greetings")
    plain = tomllib.loads(text)
    assert Config.model_validate(plain) == Config()
    lines = [line.removeprefix("# ") if "=" in line or "[" in line else line for line in text.splitlines()[3:]]
    every = Config.model_validate(tomllib.loads("\n".join(lines)))
    assert every.role("judge").votes == 3
