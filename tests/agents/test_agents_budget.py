"""The arithmetic of limits, without a server; the races are in `test_agents_models`."""

import pytest

from kindling.agents.budget import Budget
from kindling.config import Budget as Limits
from kindling.errors import BudgetSpent


def test_without_limits_nothing_is_refused():
    budget = Budget(Limits())
    for _ in range(1000):
        budget.reserve(1e9)
    assert budget.seconds_left() is None


def test_a_reservation_counts_until_it_is_given_back():
    budget = Budget(Limits(max_calls=2))
    budget.reserve(0.0)
    budget.reserve(0.0)
    with pytest.raises(BudgetSpent, match="max_calls = 2"):
        budget.reserve(0.0)
    budget.refund(0.0)
    budget.reserve(0.0)
    budget.settle(0.0, 0.5)
    budget.settle(0.0, 0.5)
    assert (budget.calls, budget.cost) == (2, 1.0)
    with pytest.raises(BudgetSpent):
        budget.check()


def test_what_an_earlier_process_spent_counts():
    with pytest.raises(BudgetSpent):
        Budget(Limits(max_calls=5), calls=5).check()
    with pytest.raises(BudgetSpent, match="max_cost = 2"):
        Budget(Limits(max_cost=2), cost=2.0).check()


def test_cost_known_and_expected_together_stay_within_the_limit():
    budget = Budget(Limits(max_cost=1.0))
    budget.reserve(0.25)
    budget.settle(0.25, 0.25)
    budget.reserve(0.25)
    budget.reserve(0.25)
    with pytest.raises(BudgetSpent):
        budget.reserve(0.5)
    budget.reserve(0.25)
    with pytest.raises(BudgetSpent):
        budget.reserve(0.0)


def test_a_limit_of_nothing_lets_free_calls_through_and_no_others():
    budget = Budget(Limits(max_cost=0))
    budget.reserve(0.0)
    with pytest.raises(BudgetSpent):
        budget.reserve(1e-9)


def test_minutes_run_out():
    budget = Budget(Limits(max_minutes=1e-9))
    with pytest.raises(BudgetSpent, match="max_minutes"):
        budget.check()
    assert budget.seconds_left() == 0.0
    assert 59 < Budget(Limits(max_minutes=1)).seconds_left() <= 60
