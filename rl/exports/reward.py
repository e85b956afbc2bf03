"""A reward function for verl that asks a running `kindling serve`. Python's standard library alone; copy it anywhere.

    reward.custom_reward_function.path=reward.py
    reward.custom_reward_function.name=compute_score
    +reward.custom_reward_function.reward_kwargs.judge_url=http://127.0.0.1:8000

verl calls it once a text, each time in a thread of its own. The query is `extra_info["query"]`. If the server wants a
token, put it into the environment variable KINDLING_TOKEN, before Ray starts.

A text that could not be judged raises, after `TRIES` attempts: it never gets 0, which would punish the policy for a
failure of the judge, nor NaN, which would poison its group. What verl makes of that is verl's:

    reward.reward_manager.name=naive, dapo   the text is left out of its group (trainer.use_v1=True, the default of
                                             verl 0.9), or the run ends (the older trainer)
    reward.reward_manager.name=rate_limited  turns every exception into the score 0: do not use it with this
"""

import json
import os
import time
import urllib.error
import urllib.request
from typing import Any

JUDGE_URL = "http://127.0.0.1:8000"
TOKEN = "KINDLING_TOKEN"  # noqa: S105 - the variable's name
TRIES = 5
PAUSE_S = 1.0  # before the second try; doubled before each further one
TIMEOUT_S = 180.0

# a judge is asked directly, whatever proxy the environment names
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: Any,
    extra_info: dict[str, Any] | None = None,
    judge_url: str = JUDGE_URL,
    **_: Any,
) -> dict[str, float]:
    """`score` in [0, 1] of the text `solution_str`, and `acc`, 1 where the judge calls it good.

    Raises `ValueError` if the row has no query, `RuntimeError` if the text could not be judged.
    """
    query = (extra_info or {}).get("query")
    if not query:
        raise ValueError('extra_info["query"] is missing: train on the files that kindling export wrote')
    why, pause = "", PAUSE_S
    for attempt in range(TRIES):
        if attempt:
            time.sleep(pause)
            pause *= 2
        try:
            judged = _ask(judge_url, query, solution_str)
        except urllib.error.HTTPError as error:
            why = f"HTTP {error.code}: {error.read(2000).decode(errors='replace')}"
            if error.code < 500:  # the request is at fault, and stays so
                break
        except (OSError, ValueError) as error:  # no connection, no answer in time, no JSON
            why = f"{type(error).__name__}: {error}"
        else:
            if judged["score"] is not None:
                return {"score": float(judged["score"]), "acc": float(judged["verdict"] == "good")}
            why = f"unscored: {judged['reason']}"
    raise RuntimeError(f"kindling serve at {judge_url}: the text was not judged: {why}")


def _ask(judge_url: str, query: str, response: str) -> dict[str, Any]:
    """What the server says of one text."""
    headers = {"Content-Type": "application/json"}
    if token := os.environ.get(TOKEN, "").strip():
        headers["Authorization"] = f"Bearer {token}"
    body = json.dumps({"items": [{"query": query, "response": response}]}).encode()
    request = urllib.request.Request(f"{judge_url.rstrip('/')}/judge", body, headers)  # noqa: S310 - the user's own URL
    with _DIRECT.open(request, timeout=TIMEOUT_S) as answer:
        judged: dict[str, Any] = json.load(answer)["items"][0]
    return judged
