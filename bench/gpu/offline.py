"""vLLM alone: the rollout's prompts through its offline engine, which is the fastest that a rollout can be.

The engine is as vLLM starts it, with as much of the device as it likes; the trainer's colocated one has what training
leaves it. One round warms it up, and the median of the others counts.
"""

import statistics
import time
from typing import Any

from bench.gpu.models import queries
from bench.gpu.shapes import workload
from kindling.rl.formats import prompt

ROUNDS = 4


def measure(task: dict[str, Any]) -> dict[str, Any]:
    """Tokens a second, and how long the engine took to start."""
    from vllm import LLM, SamplingParams

    work = workload(task["shape"])
    began = time.monotonic()
    engine = LLM(
        model=task["model"],
        max_model_len=work.prompt_tokens + work.tokens,
        seed=0,
    )
    start_s = time.monotonic() - began
    drawn = SamplingParams(n=work.group, temperature=1.0, max_tokens=work.tokens)
    asked = [prompt(query) for query in queries()]
    rates, lengths, seconds = [], [], []
    for turn in range(ROUNDS):
        places = range(turn * work.prompts, (turn + 1) * work.prompts)
        began = time.monotonic()
        answers = engine.chat([asked[place % len(asked)] for place in places], drawn, use_tqdm=False)
        seconds.append(time.monotonic() - began)
        tokens = sum(len(text.token_ids) for answer in answers for text in answer.outputs)
        rates.append(tokens / seconds[-1])
        lengths.append(tokens / work.texts)
    return {
        "start_s": start_s,
        "rollout_s": statistics.median(seconds[1:]),
        "rollout_tokens_s": statistics.median(rates[1:]),
        "tokens_a_text": statistics.fmean(lengths[1:]),
    }
