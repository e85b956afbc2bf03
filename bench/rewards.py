"""The reward of a training step with an LLM judge over HTTP: 64 completions and 8 canaries, 1.5 s a call.

All terms are in: the judge, verifiable requests, the length band, repetition, diversity. What counts is how much longer
a step's reward takes than one judge call. As in `kindling train grpo`, the judge was opened once before, to see whose
certificate is asked for, so nothing is left to import; the first step opens ledger and connections.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, chdir
from functools import partial
from pathlib import Path
from random import Random
from statistics import median

from bench.served import project, scripted_server
from kindling.agents.judge import Judge
from kindling.agents.requests import case_of
from kindling.agents.retriever import load_examples
from kindling.cli import casting
from kindling.config import load_config
from kindling.prompts.taskpack import load_pack
from kindling.rl.firewall.canaries import PER_STEP, Canary, CanaryWatch
from kindling.rl.rewards.judging import CachedJudge
from kindling.rl.rewards.quality import JudgeScore
from kindling.rl.rewards.reward import Reward
from kindling.rl.rewards.shape import Diversity, LengthBand, Repetition, RequestsMet
from kindling.rl.rewards.terms import Gate, Weighted

STEPS, PROMPTS, GROUP, LATENCY_S, SETTLED = 14, 8, 8, 1.5, 5


def run(queries: Path) -> None:
    asked = queries.read_text(encoding="utf-8").split("\n")[: STEPS * PROMPTS]
    with tempfile.TemporaryDirectory() as folder, scripted_server("--latency-ms", str(1000 * LATENCY_S)) as port:
        project(Path(folder), port, max_in_flight=2 * PROMPTS * GROUP)
        with chdir(folder):
            seconds = asyncio.run(_steps(asked))
    rest = median(seconds[-SETTLED:])
    print(f"{PROMPTS * GROUP} completions a step: {', '.join(f'{one:.2f}' for one in seconds)} s")
    print(f"median of the last {SETTLED}: {rest:.2f} s = {rest / LATENCY_S - 1:+.1%} over one call of {LATENCY_S} s")


@asynccontextmanager
async def _open(plan: casting.CastPlan) -> AsyncIterator[Judge]:
    async with casting.open_cast(plan, Path("ledger.sqlite"), batch=PROMPTS * GROUP + PER_STEP) as company:
        yield company.judge


async def _steps(queries: list[str]) -> list[float]:
    """The seconds of each step's reward."""
    config = load_config()
    pack = load_pack(config.project.task)
    plan = casting.plan_cast(config, "llm")
    make = partial(case_of, brief_chars=pack.settings.brief_chars)
    references = [(one.query, one.response) for one in load_examples(pack.file("corpus.jsonl"))]
    async with _open(plan):
        pass
    judge = CachedJudge(partial(_open, plan))
    shape = (RequestsMet(), LengthBand(references, make), Repetition(references), Diversity())
    known = [Canary("good", query, response, "good") for query, response in references]
    watch = CanaryWatch(judge, known, make, seed=0)
    reward = Reward([Weighted(JudgeScore(judge))], [Gate(term) for term in shape], make, watches=[watch])
    rng = Random(0)
    for step in range(STEPS):
        prompts = [query for query in queries[step * PROMPTS : (step + 1) * PROMPTS] for _ in range(GROUP)]
        texts = ["，".join(text for _, text in rng.sample(references, 2)) for _ in prompts]
        rewards = await reward(prompts=prompts, completions=texts)
        assert None not in rewards, reward.failures
    await judge.aclose()
    return [batch.seconds for batch in reward.drain()]
