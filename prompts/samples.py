"""Sample values for every role, of no task in particular: what a template is tried on, and what `render` shows.

They are in the language of the pack, Chinese or English.
"""

from typing import Any

from kindling.prompts.roles import role_spec


def _values(lesson: dict[str, str], example: dict[str, str], **texts: Any) -> dict[str, Any]:
    """What any role may be given: the same records for both languages, filled in."""
    rest = {"debated": True, "label": "good", "truth": "bad"}
    lessons = {name: [lesson] for name in ("too_kind", "too_strict", "caught")}
    return {**texts, **rest, **lessons, "examples": [example]}


_VALUES: dict[str, dict[str, Any]] = {
    "zh": _values(
        {
            "query": "送给远方的朋友",
            "response": "愿你一切都好，天天开心。",
            "reason": "语气真诚，没有错误。",
            "why": "没有一处只属于这个人，换个名字也能发。",
        },
        {"query": "送给远方的朋友", "response": "信写短了，路还长，慢慢走。"},
        query="写一句话，送给山里的老朋友，不超过二十个字",
        response="山里的灯亮着，等你回来喝茶。",
        first="山里的灯亮着，等你回来喝茶。",
        second="祝你一切都好，天天开心。",
        first_facts=[{"kind": "length", "asked": "不超过20个字", "measured": "12个字", "met": True}],
        second_facts=[{"kind": "length", "asked": "不超过20个字", "measured": "10个字", "met": True}],
        requests=["不超过20个字"],
        facts=[{"kind": "length", "asked": "不超过20个字", "measured": "12个字", "met": True}],
        merits=[{"aspect": "具体", "reason": "「山里的灯」让人看见画面"}],
        flaws=[{"aspect": "平淡", "reason": "没有说出为什么想念"}],
        reason="画面具体，语气真诚。",
    ),
    "en": _values(
        {
            "query": "a line for a friend abroad",
            "response": "Wishing you all the best, always.",
            "reason": "Sincere in tone and free of mistakes.",
            "why": "Nothing in it belongs to this friend; it would suit anybody.",
        },
        {"query": "a line for a friend abroad", "response": "Short letter, long road. Walk slowly."},
        query="one line for an old friend in the hills, at most 10 words",
        response="The lamp in the hills is lit. Come for tea.",
        first="The lamp in the hills is lit. Come for tea.",
        second="Wishing you all the best, always.",
        first_facts=[{"kind": "words", "asked": "at most 10 words", "measured": "10 words", "met": True}],
        second_facts=[{"kind": "words", "asked": "at most 10 words", "measured": "6 words", "met": True}],
        requests=["at most 10 words"],
        facts=[{"kind": "words", "asked": "at most 10 words", "measured": "10 words", "met": True}],
        merits=[{"aspect": "concrete", "reason": "“The lamp in the hills” can be seen"}],
        flaws=[{"aspect": "flat", "reason": "it does not say why the friend is missed"}],
        reason="One can see it, and it sounds sincere.",
    ),
}


def sample(role: str, language: str = "zh") -> list[dict[str, Any]]:
    """The variables of `role`, once with everything there and once with every list empty and every flag down."""
    full = {name: _VALUES[language][name] for name in role_spec(role).names}
    bare = {name: _empty(value) for name, value in full.items()}
    return [full, bare]


def _empty(value: Any) -> Any:
    if isinstance(value, bool):
        return False
    return [] if isinstance(value, list) else value
