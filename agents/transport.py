"""The wire: chat completions over one shared aiohttp session, in the shape that langchain-openai expects of the SDK.

`ChatOpenAI(async_client=...)` takes any object with the SDK's `with_raw_response.create(**payload)`; `Completions` is
one over aiohttp and orjson. It costs a fraction of the SDK's client, because it builds no typed objects and its pool
does not scan its connections. Messages, callbacks, usage and tracing stay langchain's.

A body is reduced to what this house reads (text, finish reason, usage, log-probabilities, model, fingerprint) and
checked here, so that no answer of an endpoint, however odd, can raise anything but a `Fault` behind this door.
Choices that are missing and refusals become finish reasons of ours. Not here: streaming, tools, images, retries
(those are in `models`).

Redirects are not followed: the key would travel with the request. Proxies are taken from the environment once, loopback
never goes through one, and .netrc is not read. The key is in no error: an endpoint's own words are redacted.
"""

import email.utils
import time
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import orjson
from pydantic import SecretStr

DETAIL_CHARS = 300
# what `config.api_key` gives for an endpoint that asks for none
NO_KEY = "none"
LOOPBACK = ("localhost", "127.0.0.1", "::1")
# statuses for which the same request may do better a little later
TRANSIENT = (408, 409, 429)
CONGESTED = (429, 503)


class Fault(Exception):
    """A request without a usable answer. `status` is the HTTP status, or none for a time-out or a broken connection.

    `retry_after` is in seconds; `detail` is one line with the endpoint's own words, without the key.
    """

    def __init__(
        self, detail: str, status: int | None = None, retry_after: float | None = None, *, timed_out: bool = False
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.status = status
        self.retry_after = retry_after
        self.timed_out = timed_out
        self.unreachable = False

    @property
    def transient(self) -> bool:
        """Whether a further try makes sense."""
        return self.status is None or self.status in TRANSIENT or self.status >= 500

    @property
    def congested(self) -> bool:
        """Whether it is a sign that fewer requests should be in flight."""
        return self.timed_out or self.status in CONGESTED

    @property
    def free(self) -> bool:
        """Whether nobody is charged for it: the endpoint said so, or was never reached."""
        return self.status is not None or self.unreachable


class Completions:
    """Stands in for the SDK's `chat.completions`, for one endpoint. Holds the key; shows it to nobody."""

    def __init__(self, session: aiohttp.ClientSession, base_url: str, key: SecretStr, timeout_s: float) -> None:
        self._session = session
        self._url = f"{base_url.rstrip('/')}/chat/completions"
        self._key = key
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._timeout_s = timeout_s
        self._proxy = proxy_for(base_url)

    @property
    def with_raw_response(self) -> "Completions":
        """The SDK's spelling; the headers are always at hand here."""
        return self

    async def create(self, *, extra_body: Mapping[str, Any] | None = None, **payload: Any) -> "RawAnswer":
        """Send one request; `extra_body` is merged into it. Raises `Fault`."""
        payload.pop("stream", None)
        data = orjson.dumps({**payload, **(extra_body or {})})
        headers = {
            "Content-Type": "application/json",
            "Authorization": f"Bearer {self._key.get_secret_value()}",
        }
        try:
            async with self._session.post(
                self._url, data=data, headers=headers, timeout=self._timeout, proxy=self._proxy, allow_redirects=False
            ) as response:
                body = await response.read()
                if response.status != 200:
                    raise self._refused(response.status, response.headers, body)
                return RawAnswer(self._read(body))
        except TimeoutError as error:
            raise Fault(f"time-out after {self._timeout_s:g} s", timed_out=True) from error
        except aiohttp.InvalidURL as error:
            raise Fault("base_url is not a URL", status=400) from error
        except aiohttp.ClientConnectorError as error:
            fault = Fault(f"cannot connect: {error.strerror or type(error).__name__}")
            fault.unreachable = True
            raise fault from error
        except (aiohttp.ClientError, OSError) as error:
            raise Fault(f"the connection was cut ({type(error).__name__})") from error

    def _refused(self, status: int, headers: Mapping[str, str], body: bytes) -> Fault:
        """The fault for an error status."""
        if 300 <= status < 400:
            return Fault(f"HTTP {status}: redirects are not followed; mend base_url", status=status)
        try:
            said = _complaint(orjson.loads(body))
        except orjson.JSONDecodeError:
            said = body.decode("utf-8", "replace")
        return Fault(f"HTTP {status}: {self._one_line(said)}", status, retry_after(headers.get("Retry-After")))

    def _read(self, body: bytes) -> dict[str, Any]:
        """A body of status 200 as a plain completion. Some gateways send their errors this way too."""
        try:
            data = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise Fault(f"the body is not JSON ({len(body)} bytes)") from error
        if not isinstance(data, dict):
            raise Fault("the body is not a JSON object")
        if data.get("error"):
            code = data["error"].get("code") if isinstance(data["error"], dict) else None
            status = code if isinstance(code, int) and 400 <= code < 600 else 500
            raise Fault(f"error {status}: {self._one_line(_complaint(data))}", status)
        return _plain(data)

    def _one_line(self, said: str) -> str:
        line = " ".join(said.split())
        # endpoints like to quote the key that they did not like
        if (key := self._key.get_secret_value()) != NO_KEY:
            line = line.replace(key, "***")
        return line if len(line) <= DETAIL_CHARS else f"{line[:DETAIL_CHARS]}..."


class RawAnswer:
    """What `with_raw_response.create` returns. The headers stay empty: none is kept."""

    headers: Mapping[str, str] = {}

    def __init__(self, body: dict[str, Any]) -> None:
        self._body = body

    def parse(self) -> dict[str, Any]:
        """The completion as a dict."""
        return self._body


class RootClient:
    """Stands in for the SDK's root client; langchain-openai looks there for `chat.completions`."""

    def __init__(self, completions: Completions) -> None:
        self.completions = completions

    @property
    def chat(self) -> "RootClient":
        """The SDK's spelling of the path to the completions."""
        return self


def retry_after(value: str | None) -> float | None:
    """Seconds to wait, from a Retry-After header in either of its forms (RFC 9110, 10.2.3); none if it says nothing."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
        except ValueError:
            return None
    # a NaN or an infinity says nothing either
    return max(0.0, seconds) if seconds < float("inf") else None


def proxy_for(url: str) -> str | None:
    """The proxy that the environment names for `url`; none for loopback and for hosts in NO_PROXY."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if host in LOOPBACK or urllib.request.proxy_bypass(host):
        return None
    return urllib.request.getproxies().get(parts.scheme)


def _complaint(data: Any) -> str:
    """An endpoint's own words in an error body, whichever of the usual shapes it has."""
    for name in ("error", "message", "detail"):
        if isinstance(data, dict) and data.get(name):
            data = data[name]
    return data if isinstance(data, str) else orjson.dumps(data).decode()


def _plain(data: dict[str, Any]) -> dict[str, Any]:
    """The part of a completion that this house reads, with every type as it should be."""
    choices = data.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    text, finish_reason = _said(choice)
    usage = data.get("usage")
    counts = {
        name: value
        for name in ("prompt_tokens", "completion_tokens", "total_tokens")
        if isinstance(usage, dict) and isinstance(value := usage.get(name), int) and value >= 0
    }
    plain: dict[str, Any] = {
        "model": str(data.get("model") or ""),
        "system_fingerprint": str(data.get("system_fingerprint") or ""),
        "usage": counts,
        "choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": finish_reason}],
    }
    if choice.get("logprobs") is not None:
        plain["choices"][0]["logprobs"] = choice["logprobs"]
    return plain


def _said(choice: dict[str, Any]) -> tuple[str, str]:
    """The text of a choice and why it ended there."""
    message = choice.get("message")
    if not isinstance(message, dict):
        return "", "no_choices"
    content, refusal = message.get("content"), message.get("refusal")
    if isinstance(content, list):
        content = "".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
    if isinstance(refusal, str) and refusal and not content:
        return refusal, "refusal"
    if content is not None and not isinstance(content, str):
        raise Fault("the message's content is not text")
    return content or "", str(choice.get("finish_reason") or "")
