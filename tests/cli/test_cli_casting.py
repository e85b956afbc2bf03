"""Casting: names become agents, and no paid answer is thrown away with an empty ledger."""

import pytest

from kindling.agents.calls import Answer
from kindling.agents.ledger import Ledger, Paid
from kindling.cli.casting import _open_ledger, open_cast, plan_cast
from kindling.cli.curation import _rows_at_once
from kindling.config import ROLES, Config
from kindling.errors import ConfigError, InputError


def test_a_new_ledger_into_which_nothing_was_paid_leaves_no_file(tmp_path):
    with _open_ledger(tmp_path / "ledger.sqlite"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_ledger_that_another_process_has_open_is_never_deleted(tmp_path):
    with _open_ledger(tmp_path / "ledger.sqlite"):
        other = Ledger(tmp_path / "ledger.sqlite")
    other.put("key", "judge", "model", Paid(Answer("paid"), 0.5, 0.1))
    other.close()
    again = Ledger(tmp_path / "ledger.sqlite")
    assert again.get("key") == Answer("paid")
    again.close()


@pytest.mark.parametrize("judge", ["gpt", "debate:x", "lexical", "lexical:", "rm", "rm:", "file:x", ""])
def test_an_unknown_judge_is_refused_by_name(judge):
    with pytest.raises(ConfigError, match="unknown judge"):
        plan_cast(Config(), judge)


def test_a_learned_judge_must_be_there_before_anything_is_written(tmp_path):
    with pytest.raises(InputError, match=r"none\.npz"):
        plan_cast(Config(), f"lexical:{tmp_path}/none.npz")


def test_a_reward_model_must_be_there_and_calibrated_before_anything_is_written(tmp_path):
    with pytest.raises(ConfigError, match=r"none: no reward model here; train one with kindling train rm"):
        plan_cast(Config(), f"rm:{tmp_path}/none")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"no calibration\.json"):
        plan_cast(Config(), f"rm:{tmp_path}")


def test_asking_for_models_that_are_not_configured_is_an_error():
    with pytest.raises(ConfigError, match="--judge llm"):
        plan_cast(Config(), "llm")
    with pytest.raises(ConfigError, match="--source llm"):
        plan_cast(Config(), "debate", "llm")


def test_a_small_budget_finishes_some_rows_instead_of_beginning_many(tmp_path):
    """20 calls a row: 200 calls pay for 10 rows, so 10 are worked on at once and not the default 64."""
    endpoint = {"there": {"base_url": "http://127.0.0.1:1/v1"}}
    roles = {role: {"endpoint": "there", "model": "m"} for role in ROLES}
    for limit, rows in ((200, 10), (5, 1), (None, 64), (100_000, 64)):
        config = Config.model_validate({"endpoints": endpoint, "roles": roles, "budget": {"max_calls": limit}})
        assert _rows_at_once(config, plan_cast(config, "debate", "llm")) == rows


async def test_lanes_are_opened_as_wide_as_the_batch_that_is_told_of(tmp_path):
    role = {"endpoint": "e", "model": "m"}
    config = Config.model_validate(
        {
            "endpoints": {"e": {"base_url": "http://127.0.0.1:9/v1", "max_in_flight": 500}},
            "roles": dict.fromkeys(("positive", "negative"), role) | {"judge": role | {"model": "j", "votes": 3}},
        }
    )
    plan = plan_cast(config, "debate")
    async with open_cast(plan, tmp_path / "ledger.sqlite", batch=50) as company:
        lanes = company.models.stats().lanes
    assert {lane.model: lane.limit for lane in lanes} == {"m": 2 * 50, "j": 3 * 50}
