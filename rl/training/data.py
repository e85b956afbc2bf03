"""Files and run folders as the rows that a stage reads: TRL's conversational formats, nothing else in them.

    sft    prompt, completion      from messages | prompt, completion | query, response;  a run folder: sft.jsonl
    rm     prompt, chosen, rejected   from prompt or query, with chosen and rejected;     a run folder: pairs.jsonl
    grpo   prompt, query           from query | prompt (.txt: a query a line);            a run folder: records.jsonl

A row without text where text belongs is left out and counted, and so is, for SFT, a response that its row calls bad or
unscored (`verdict` of `kindling judge`, or `label`); a file none of whose rows can be used is refused. The order of the
file is kept: shuffling is the trainer's, and seeded.
"""

import hashlib
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kindling.errors import InputError
from kindling.records import request_key
from kindling.rl import formats
from kindling.rl.training.settings import Stage
from kindling.tables import read_rows, sha256

Row = dict[str, Any]
IN_RUN: dict[Stage, str] = {"sft": "sft.jsonl", "rm": "pairs.jsonl", "grpo": "records.jsonl"}
JUDGED = ("verdict", "label")
NOT_GOOD = frozenset({"bad", "false", "0", "0.0", "unscored"})
CLOSE = 8  # characters by which texts of "equal length" may differ


@dataclass(frozen=True, slots=True)
class Data:
    """The rows of one file, what was left out of it and why, and what the model card says about it.

    `judged_by` names who called the texts good or bad, each with the hash of its prompt, where the rows say so.
    """

    rows: tuple[Row, ...]
    file: Path
    sha256: str
    left_out: dict[str, int]
    judged_by: tuple[tuple[str, str], ...] = ()

    @property
    def card(self) -> dict[str, Any]:
        """For run.json and the model card."""
        judges = [{"judge": judge, "template": template} for judge, template in self.judged_by]
        found = {"file": self.file.name, "sha256": self.sha256, "rows": len(self.rows), "left_out": self.left_out}
        return found | ({"judged_by": judges} if judges else {})

    def where(self, keep: Callable[[Row], bool], why: str) -> "Data":
        """The same data without the rows that are not to be kept, which are counted under `why`."""
        rows = tuple(row for row in self.rows if keep(row))
        gone = len(self.rows) - len(rows)
        return replace(self, rows=rows, left_out={**self.left_out, why: gone} if gone else self.left_out)


def read(stage: Stage, source: Path, column: str = "query") -> Data:
    """The rows of `source`, a file or a run folder of `kindling curate`, for `stage`.

    Raises `InputError` if it cannot be read, lacks the columns, or has no usable row.
    """
    file = source / IN_RUN[stage] if source.is_dir() else source
    if source.is_dir() and not file.is_file():
        raise InputError(f"{source}: no {IN_RUN[stage]} in this folder; name a run of kindling curate, or a file")
    found = read_rows(file, (), text_column=column if stage == "grpo" else None)
    make = {"sft": _sft, "rm": _pair, "grpo": _query}[stage]
    rows: list[Row] = []
    left_out: Counter[str] = Counter()
    judged_by: set[tuple[str, str]] = set()
    for number, row in enumerate(found, 1):
        made = make(row, column, f"{file}: row {number}")
        if isinstance(made, str):
            left_out[made] += 1
        else:
            rows.append(made)
            judged_by.update(_judge(row))
    if not rows:
        raise InputError(f"{file}: none of its {len(found)} rows can be used ({', '.join(sorted(left_out))})")
    # of a query that is only asked nobody has judged the answer
    judges = () if stage == "grpo" else tuple(sorted(judged_by))
    return Data(tuple(rows), file, sha256(file), dict(left_out), judges)


def _judge(row: Row) -> Iterator[tuple[str, str]]:
    """Who judged the texts of a row of `kindling curate`, and the hash of its prompt."""
    judge, template = row.get("judge"), row.get("template")
    if isinstance(judge, str) and judge.strip() and judge.isprintable():
        yield judge, template if isinstance(template, str) and template.isalnum() else ""


def _sft(row: Row, column: str, where: str) -> Row | str:
    if any(str(row.get(name)).strip().lower() in NOT_GOOD for name in JUDGED):
        return "not called good"
    if "messages" in row:
        turns = _messages(row["messages"], f"{where}: messages")
        if len(turns) < 2 or turns[-1]["role"] != "assistant":
            return "no response"
        prompt, response = turns[:-1], turns[-1]["content"]
    else:
        prompt = _prompt(row, column, where)
        name = "completion" if "completion" in row else "response"
        response = _last_text(_column(row, name, where), where)
    if not _text_of(prompt) or not response.strip():
        return "empty text"
    return {"prompt": prompt, "completion": formats.response(response)}


def _pair(row: Row, column: str, where: str) -> Row | str:
    prompt = _prompt(row, column, where)
    chosen, rejected = (_last_text(_column(row, side, where), where) for side in ("chosen", "rejected"))
    if not _text_of(prompt) or not chosen.strip() or not rejected.strip():
        return "empty text"
    if chosen == rejected:
        return "chosen is rejected"
    return {"prompt": prompt, "chosen": formats.response(chosen), "rejected": formats.response(rejected)}


def _query(row: Row, column: str, where: str) -> Row | str:
    if row.get("status") == "dropped":  # of a run's records
        return "dropped when curated"
    prompt = _prompt(row, column, where)
    query = _text_of(prompt)
    return {"prompt": prompt, "query": query} if query.strip() else "empty text"


def _prompt(row: Row, column: str, where: str) -> list[formats.Message]:
    """The conversation that asks: `prompt` as it is, or the query as the user's turn."""
    if "prompt" in row and column == "query":
        value = row["prompt"]
        return formats.prompt(value) if isinstance(value, str) else _messages(value, f"{where}: prompt")
    value = _column(row, column, where)
    if isinstance(value, dict):  # of a run's records
        value = value.get("text")
    return formats.prompt("" if value is None else str(value))


def _column(row: Row, name: str, where: str) -> Any:
    if name not in row:
        raise InputError(f"{where}: no column {name!r} (there: {', '.join(sorted(map(str, row)))})")
    return row[name]


def _messages(value: Any, where: str) -> list[formats.Message]:
    if isinstance(value, list) and all(
        isinstance(turn, dict) and isinstance(turn.get("role"), str) and isinstance(turn.get("content"), str)
        for turn in value
    ):
        return [{"role": turn["role"], "content": turn["content"]} for turn in value]
    raise InputError(f"{where}: is no list of messages with role and content")


def _last_text(value: Any, where: str) -> str:
    """A text, or the last message of a conversation; null is empty."""
    if isinstance(value, list):
        turns = _messages(value, where)
        return turns[-1]["content"] if turns else ""
    return "" if value is None else str(value)


def _text_of(prompt: Sequence[formats.Message]) -> str:
    """What the user said last."""
    return next((turn["content"] for turn in reversed(prompt) if turn["role"] == "user"), "")


def asks(row: Row) -> str:
    """What the row's prompt asks for: equal for two that ask for the same."""
    return request_key(_text_of(row["prompt"]))


def text(row: Row, side: str) -> str:
    """The response in column `side`."""
    return str(row[side][-1]["content"])


def gap(row: Row) -> int:
    """By how many characters the chosen text is longer than the rejected one."""
    return len(text(row, "chosen")) - len(text(row, "rejected"))


def split_by_query(rows: Sequence[Row], share: float, seed: int) -> tuple[list[Row], list[Row]]:
    """Rows to learn from, and about `share` of them to measure with; no query stands on both sides.

    Which side a query is on depends on the query and `seed` alone, not on what else the file holds.
    """
    sides: tuple[list[Row], list[Row]] = ([], [])
    for row in rows:
        digest = hashlib.sha256(f"{seed}\x1f{asks(row)}".encode()).digest()
        sides[int.from_bytes(digest[:8]) < share * 2**64].append(row)
    return sides


def swapped_pairs(rows: Sequence[Row], share: float, seed: int) -> list[Row]:
    """For each row `share` pairs that only the request tells apart, of two kinds in turn.

    Either the rejected text is a chosen one of another query, of about the same length (within `CLOSE` characters); or
    it is the chosen text itself, under another query: `under` is the prompt that it is rejected for. The first kind
    alone never compares across prompts, so that how a model scores a prompt as such stays arbitrary. A row for which no
    other query is found gives none.
    """
    coin = random.Random(seed)  # noqa: S311 - which texts meet is no secret
    by_length: dict[int, list[Row]] = {}
    for row in rows:
        by_length.setdefault(len(text(row, "chosen")) // CLOSE, []).append(row)
    whole, rest = int(share), share % 1
    made: list[Row] = []
    for row in rows:
        others = by_length[len(text(row, "chosen")) // CLOSE]
        for _ in range(whole + (coin.random() < rest)):
            other = coin.choice(others)
            if asks(other) == asks(row) or text(other, "chosen") == text(row, "chosen"):
                continue
            own = {"prompt": row["prompt"], "chosen": row["chosen"]}
            if len(made) % 2:
                made.append({**own, "rejected": row["chosen"], "under": other["prompt"]})
            else:
                made.append({**own, "rejected": other["chosen"]})
    return made
