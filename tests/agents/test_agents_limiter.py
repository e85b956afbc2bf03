"""The limiter under storms, cancellation and slow endpoints: fair, bounded, and it comes back."""

import asyncio
import random
import time

import pytest

from kindling.agents.limiter import FIRST_LIMIT, Gate


async def _full(gate, model="m", rounds=200, seconds=1.0):
    """Use a lane to its limit for so many rounds of good answers."""
    lane = gate.lane(model)
    for _ in range(rounds):
        width = int(lane.limit)
        for _ in range(width):
            await lane.acquire()
        for _ in range(width):
            lane.release(seconds=seconds)
    return lane


async def test_the_limit_doubles_at_first_and_stops_at_the_cap():
    lane = await _full(Gate(64), rounds=1)
    assert lane.limit > FIRST_LIMIT
    lane = await _full(Gate(64), rounds=60)
    assert lane.limit == 64


@pytest.mark.parametrize(("refused", "left"), [(64, 32), (32, 48), (2, 63)])
async def test_a_round_costs_half_the_share_that_was_refused(refused, left):
    lane = await _full(Gate(64), rounds=60)
    for _ in range(64):
        await lane.acquire()
    for number in range(64):
        lane.release(congested=number < refused)
    assert lane.limit == left


async def test_stray_faults_do_not_throttle_a_healthy_endpoint():
    draw = random.Random(1)
    lane = Gate(64).lane("m")

    async def work():
        for _ in range(300):
            await lane.acquire()
            await asyncio.sleep(0)
            lane.release(seconds=1.0, congested=draw.random() < 0.02)

    await asyncio.gather(*(work() for _ in range(64)))
    assert lane.limit > 40


async def test_refusal_after_refusal_never_falls_below_one_and_the_limit_recovers():
    gate = Gate(16)
    lane = gate.lane("m")
    for _ in range(50):
        await lane.acquire()
        lane.release(congested=True)
    assert lane.limit == 1
    lane = await _full(gate, rounds=200)
    assert lane.limit == 16
    assert lane.lowest == 1


async def _grown(seconds):
    """How much a limit of 100 grows over 1000 answers that take `seconds`, where a first one took 1 s."""
    lane = Gate(10_000).lane("m")
    lane.limit = 100.0
    await lane.acquire()
    lane.release(seconds=1.0)
    for _ in range(60):
        await lane.acquire()
        lane.release(seconds=seconds)

    async def work():
        await lane.acquire()
        await asyncio.sleep(0)
        lane.release(seconds=seconds)

    await asyncio.gather(*(work() for _ in range(1000)))
    return lane.limit - 100


async def test_latency_slows_the_growth_and_stops_it_before_anything_fails():
    usual, busy, slow, stuck = [await _grown(seconds) for seconds in (1.0, 1.8, 5.0, 12.0)]
    assert usual == busy
    assert 0 < slow < 0.8 * usual
    assert stuck == 0


async def test_a_lane_that_does_not_use_its_limit_does_not_raise_it():
    lane = Gate(64).lane("m")
    for _ in range(100):
        await lane.acquire()
        lane.release(seconds=1.0)
    assert lane.limit == FIRST_LIMIT


async def _batch(lane, calls):
    """Ask for so many calls at once of an endpoint that answers in the end; returns how many were out at most."""
    out, most = 0, 0

    async def one():
        nonlocal out, most
        await lane.acquire()
        out += 1
        most = max(most, out)
        await asyncio.sleep(0.01)
        out -= 1
        lane.release(seconds=1.0)

    await asyncio.gather(*(one() for _ in range(calls)))
    return most


async def test_a_batch_that_was_told_of_is_sent_at_once_within_the_cap():
    for cap, told, wide in ((128, 72, 72), (64, 72, 64), (128, 3, FIRST_LIMIT)):
        lane = Gate(cap).lane("m")
        lane.expect(told)
        assert await _batch(lane, 2 * 72) >= wide
        assert lane.lowest == wide
    lane = Gate(128).lane("m")
    lane.expect(40)  # two roles of one model
    lane.expect(40)
    assert lane.limit == 80


async def test_a_batch_that_nobody_told_of_is_sent_at_once_when_it_comes_again():
    lane = Gate(128).lane("m")
    assert await _batch(lane, 72) < 72
    assert await _batch(lane, 72) == 72


@pytest.mark.parametrize("shown", [{"congested": True}, {"seconds": 1.0}])
async def test_what_the_endpoint_has_shown_counts_more_than_what_is_expected(shown):
    lane = Gate(128).lane("m")
    await lane.acquire()
    lane.release(**shown)
    before = lane.limit
    lane.expect(72)
    assert lane.limit == before <= FIRST_LIMIT


async def test_answers_of_a_quiet_time_do_not_spend_what_a_full_round_has_proven():
    lane = Gate(64).lane("m")
    for _ in range(int(FIRST_LIMIT)):
        await lane.acquire()
    for _ in range(int(FIRST_LIMIT)):
        lane.release()  # cancelled: neither an answer nor a refusal
    for _ in range(100):
        await lane.acquire()
        lane.release(seconds=1.0)
    assert lane.limit == FIRST_LIMIT


async def test_a_batch_that_is_too_much_is_refused_less_and_less():
    """An endpoint that bears 8 calls and asks to wait: a batch of 72 backs off before any call runs out of retries."""
    gate = Gate(128)
    lane = gate.lane("m")
    lane.expect(72)
    out, sent_at_once, refused = 0, [], [0] * 72

    async def one(number):
        nonlocal out
        while True:
            await lane.acquire()
            out += 1
            sent_at_once.append(out)
            fits = out <= 8
            await asyncio.sleep(0.02 if fits else 0)
            out -= 1
            if fits:
                lane.release(seconds=0.02)
                return
            gate.pause(0.03)
            lane.release(congested=True)
            refused[number] += 1

    async with asyncio.timeout(20):
        await asyncio.gather(*(one(number) for number in range(72)))
    assert max(sent_at_once) == 72
    assert max(refused) <= 5  # as many retries as an endpoint has by default
    assert sum(refused) < 2 * 72
    assert lane.limit < FIRST_LIMIT


async def test_waiters_are_served_in_order_of_arrival_and_a_full_lane_holds_up_no_other():
    gate = Gate(2)
    busy, free = gate.lane("busy"), gate.lane("free")
    busy.limit = 1
    await busy.acquire()
    order = []

    async def one(lane, name):
        await lane.acquire()
        order.append(name)
        await asyncio.sleep(0)
        lane.release()

    tasks = [asyncio.create_task(one(busy if number % 2 else free, number)) for number in range(6)]
    await asyncio.sleep(0.01)
    assert order == [0, 2, 4]
    busy.release()
    await asyncio.gather(*tasks)
    assert order == [0, 2, 4, 1, 3, 5]


async def test_the_cap_holds_over_all_models_of_an_endpoint():
    gate = Gate(5)
    peak = 0

    async def one(lane):
        nonlocal peak
        await lane.acquire()
        peak = max(peak, gate.in_flight)
        await asyncio.sleep(0)
        lane.release(seconds=1.0)

    await asyncio.gather(*(one(gate.lane(f"model-{number % 3}")) for number in range(300)))
    assert peak == 5
    assert gate.in_flight == 0


async def test_cancelled_waiters_take_no_permit_with_them():
    draw = random.Random(3)
    gate = Gate(4)
    lane = gate.lane("m")

    async def one():
        await lane.acquire()
        try:
            await asyncio.sleep(draw.random() / 1000)
        finally:
            lane.release(congested=draw.random() < 0.1)

    tasks = [asyncio.create_task(one()) for _ in range(400)]
    for task in tasks:
        await asyncio.sleep(0)
        if draw.random() < 0.5:
            task.cancel()
    async with asyncio.timeout(20):
        await asyncio.gather(*tasks, return_exceptions=True)
    assert (gate.in_flight, lane.in_flight, lane.waiting) == (0, 0, 0)
    await lane.acquire()
    lane.release()


async def test_a_pause_holds_everybody_and_the_longest_one_counts():
    gate = Gate(4)
    started = time.monotonic()
    gate.pause(0.1)
    gate.pause(0.02)
    waits = []

    async def one(name):
        lane = gate.lane(name)
        await lane.acquire()
        waits.append(time.monotonic() - started)
        lane.release()

    async with asyncio.timeout(5):
        await asyncio.gather(one("a"), one("b"))
    assert len(waits) == 2
    assert min(waits) >= 0.095
    assert max(waits) < 1


async def test_a_permit_that_comes_together_with_the_cancellation_goes_back():
    gate = Gate(1)
    lane = gate.lane("m")
    await lane.acquire()
    waiter = asyncio.create_task(lane.acquire())
    await asyncio.sleep(0)
    lane.release()
    waiter.cancel()
    await asyncio.gather(waiter, return_exceptions=True)
    assert (gate.in_flight, lane.in_flight, lane.waiting) == (0, 0, 0)
