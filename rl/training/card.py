"""The model card: what the weights come from, in numbers that can be checked.

It names the data by hash, the judge and its certificate, the settings that were not left alone, and what was measured.
A model whose judge was not certified, or whose run was stopped by the firewall, says so in its first lines.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kindling import __version__
from kindling.rl.training.settings import Stage

TITLES: dict[Stage, str] = {
    "sft": "supervised fine-tuning",
    "rm": "a reward model",
    "grpo": "group relative policy optimisation",
}


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What the card says. `judged` are lines about who gave the reward, `ties` are (judge, how it had a part in it).

    `warning`, and in `stopped` what ended the training, stand above everything else.
    """

    stage: Stage
    model: str
    adapter: bool
    data: Mapping[str, Any]
    settings: Mapping[str, Any]
    seed: int
    steps: int
    measured: Mapping[str, Any] = field(default_factory=dict)
    judged: tuple[str, ...] = ()
    ties: tuple[tuple[str, str], ...] = ()
    warning: str | None = None
    stopped: str | None = None


def card(facts: CardFacts) -> str:
    """The card in Markdown, with the front matter that model hubs read."""
    judges = facts.data.get("judged_by", ())
    lines = [
        "---",
        f"library_name: {'peft' if facts.adapter else 'transformers'}",
        f"pipeline_tag: {'text-classification' if facts.stage == 'rm' else 'text-generation'}",
        f"tags: [kindling, {facts.stage}]",
        "---",
        "",
        f"# {TITLES[facts.stage].capitalize()} of `{facts.model}`",
        "",
        *([f"**{facts.warning}**", ""] if facts.warning else []),
        *([f"**Training was stopped: {facts.stopped}.**", ""] if facts.stopped else []),
        f"Made by kindling {__version__} in {facts.steps:,} steps, seed {facts.seed}; weights are safetensors.",
        "",
        "## Data",
        "",
        f"- `{facts.data['file']}`, sha256 `{facts.data['sha256']}`, {facts.data['rows']:,} rows used",
        *(f"- left out: {count:,} rows, {why}" for why, count in facts.data["left_out"].items()),
        *(f"- judged by `{one['judge']}`, prompt `{one['template'] or 'none'}`" for one in judges),
        "",
    ]
    if facts.judged:
        lines += ["## Reward", "", *(f"- {line}" for line in facts.judged), ""]
    if facts.ties:
        lines += ["## Judges behind it", "", "None of these is an independent judge of this model.", ""]
        lines += [*(f"- `{judge}`: {how}" for judge, how in facts.ties), ""]
    if facts.measured:
        lines += ["## Measured", "", "| what | value |", "|---|---|"]
        lines += [f"| {name} | {_cell(value)} |" for name, value in facts.measured.items()]
        lines += [""]
    lines += ["## Settings", "", "| setting | value |", "|---|---|"]
    lines += [f"| {name} | {_cell(value)} |" for name, value in facts.settings.items()]
    return "\n".join([*lines, ""])


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return "none" if value is None else str(value)
