"""What an endpoint understands of a request, learned from its own refusals and remembered for the process.

OpenAI-compatible endpoints differ in four fields. Each is sent first in the form that most take, and changed once
when the endpoint refuses it with 400 or 422 and names it:

    response_format   json_schema, then nothing: the answer is parsed from plain text (only with structured = "auto")
    max_tokens        then max_completion_tokens
    seed              then none
    logprobs          then none, and verdicts are votes (some endpoints refuse these with 403)

A change is never silent: it stands in `notes`, which the statistics of a run show. The refused request costs nothing.
"""

import re
from collections.abc import Mapping
from typing import Any, Literal

from kindling.agents.calls import Call
from kindling.agents.transport import Fault
from kindling.errors import ConfigError

_REFUSALS = (400, 422)
# alternatives a token: what every endpoint gives that gives any; more would only make the answers heavier
TOP_LOGPROBS = 5
_SCHEMA = re.compile(r"response_format|json_schema|guided|structured output", re.IGNORECASE)
_UNKNOWN = re.compile(
    r"un(supported|recognized|known|expected)|not (supported|permitted|allowed)|instead", re.IGNORECASE
)
_LIMIT = re.compile(r"max_completion_tokens")
_LOGPROBS = re.compile(r"log_?prob|log.probabilit", re.IGNORECASE)
_SEED = re.compile(r"\bseed\b", re.IGNORECASE)


class Dialect:
    """The dialect of one model on an endpoint. `where` names both in messages."""

    def __init__(self, where: str, structured: Literal["auto", "json_schema", "text"]) -> None:
        self.where = where
        self.notes: list[str] = []
        self._structured = structured
        self._schema = structured != "text"
        self._limit_field = "max_tokens"
        self._seed = True
        self._logprobs = True

    @property
    def asks_schema(self) -> bool:
        """Whether the configuration has this endpoint asked for json_schema (it may have refused since)."""
        return self._structured != "text"

    @property
    def gives_logprobs(self) -> bool:
        """Whether log-probabilities may be asked for: until they are refused."""
        return self._logprobs

    def body(self, call: Call) -> dict[str, Any]:
        """The request fields of `call` in which endpoints differ, and whatever else the role sends."""
        body: dict[str, Any] = {self._limit_field: call.sampling["max_tokens"], **call.sampling["extra"]}
        if self._seed:
            body["seed"] = call.sampling["seed"]
        if call.choice is not None and self._logprobs:
            body |= {"logprobs": True, "top_logprobs": TOP_LOGPROBS}
        if call.schema is not None and self._schema:
            form = {"name": str(call.schema.get("title", "answer")), "strict": True, "schema": call.schema}
            body["response_format"] = {"type": "json_schema", "json_schema": form}
        return body

    def learn(self, fault: Fault, body: Mapping[str, Any]) -> bool:
        """Whether the request that was refused with `fault` should be sent once more, in another form.

        Raises `ConfigError` if the form that is refused is the one that the configuration insists on.
        """
        said = fault.detail
        if "logprobs" in body and fault.status in (*_REFUSALS, 403) and _LOGPROBS.search(said):
            self._note(self._logprobs, f"{self.where}: gives no log-probabilities, verdicts are votes ({said})")
            self._logprobs = False
            return True
        if fault.status not in _REFUSALS:
            return False
        if "response_format" in body and _SCHEMA.search(said):
            if self._structured == "json_schema":
                raise ConfigError(f'{self.where}: refuses json_schema; set structured = "auto" or "text" ({said})')
            self._note(self._schema, f"{self.where}: no json_schema, answers are parsed from text ({said})")
            self._schema = False
        elif "max_tokens" in body and _LIMIT.search(said) and _UNKNOWN.search(said):
            self._note(self._limit_field == "max_tokens", f"{self.where}: takes max_completion_tokens, not max_tokens")
            self._limit_field = "max_completion_tokens"
        elif "seed" in body and _SEED.search(said) and _UNKNOWN.search(said):
            self._note(self._seed, f"{self.where}: takes no seed, so its samples cannot be repeated")
            self._seed = False
        else:
            return False
        return True

    def _note(self, new: bool, note: str) -> None:
        # requests that were in flight together are refused together: one note is enough
        if new:
            self.notes.append(note)
