"""Sample values for every role, of no task in particular: what a template is tried on, and what `render` shows."""

from typing import Any

from kindling.prompts.roles import role_spec

_LESSON = {
    "query": "送给远方的朋友",
    "response": "愿你一切都好，天天开心。",
    "reason": "语气真诚，没有错误。",
    "why": "没有一处只属于这个人，换个名字也能发。",
}

_VALUES: dict[str, Any] = {
    "query": "写一句话，送给山里的老朋友，不超过二十个字",
    "response": "山里的灯亮着，等你回来喝茶。",
    "examples": [{"query": "送给远方的朋友", "response": "信写短了，路还长，慢慢走。"}],
    "requests": ["不超过20个字"],
    "facts": [{"kind": "length", "asked": "不超过20个字", "measured": "12个字", "met": True}],
    "merits": [{"aspect": "具体", "reason": "「山里的灯」让人看见画面"}],
    "flaws": [{"aspect": "平淡", "reason": "没有说出为什么想念"}],
    "debated": True,
    "label": "good",
    "truth": "bad",
    "reason": "画面具体，语气真诚。",
    "too_kind": [_LESSON],
    "too_strict": [_LESSON],
    "caught": [_LESSON],
}


def sample(role: str) -> list[dict[str, Any]]:
    """The variables of `role`, once with everything there and once with every list empty and every flag down."""
    full = {name: _VALUES[name] for name in role_spec(role).names}
    bare = {name: _empty(value) for name, value in full.items()}
    return [full, bare]


def _empty(value: Any) -> Any:
    if isinstance(value, bool):
        return False
    return [] if isinstance(value, list) else value
