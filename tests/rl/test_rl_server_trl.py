"""TRL's own trainer, rewarded by a server: its calls are understood, and a row without a score moves no gradient."""

import re
from pathlib import Path

import pytest

from tests.rl.serving import ScriptedJudge, served_in_thread

DOCS = Path(__file__).parents[2] / "docs/serve.md"
QUERIES = ("写一句", "给老师写一句")

# the libraries' own deprecations are not ours to mend
pytestmark = [pytest.mark.train, pytest.mark.filterwarnings("default")]


@pytest.fixture
def reward():
    """The reward function that the page shows, for a server elsewhere."""
    (code,) = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)

    def made(url):
        there = {}
        exec(code.replace("http://127.0.0.1:8000", url), there)
        return there["judge_reward"]

    return made


def test_grpo_trains_on_the_scores_of_a_server(reward, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    from tests.real_vllm.tiny_model import make

    class Half(ScriptedJudge):
        """Scores by length, and cannot judge every other text."""

        async def judge(self, case, critiques=()):
            if self.asked.total() % 2:
                self.failing[case.response] += 1
            return await super().judge(case)

    make(tmp_path / "tiny")
    rows = Dataset.from_list(
        [{"prompt": [{"role": "user", "content": query}], "query": query} for query in QUERIES * 4]
    )
    config = GRPOConfig(
        output_dir=str(tmp_path / "out"), use_cpu=True, bf16=False, max_steps=2, logging_steps=1, report_to="none",
        per_device_train_batch_size=4, num_generations=4, max_completion_length=8, save_strategy="no",
        disable_tqdm=True, gradient_checkpointing=False,
    )  # fmt: skip
    judge = Half()
    with served_in_thread(judge) as url:
        trainer = GRPOTrainer(str(tmp_path / "tiny"), reward_funcs=reward(url), args=config, train_dataset=rows)
        trainer.train()
    assert {query for query, _ in judge.asked} <= set(QUERIES)
    assert judge.asked.total() >= 2
    steps = [line for line in trainer.state.log_history if "loss" in line]
    assert len(steps) == 2
    for line in steps:
        assert line["loss"] == line["loss"], "no NaN from a score that was null"
        assert line["grad_norm"] == line["grad_norm"]
