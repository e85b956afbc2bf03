"""Made-up pairs for learned judges: a request names a place and a person, the text answers both, well or badly.

Good and bad texts differ in a few phrases each; both name what was asked for. `longer` decides how often the good one
has more filler than the bad one: 1 makes a dataset in which length predicts the label.
"""

import random

PLACES = {
    "海边": "浪花 沙滩 贝壳",
    "山上": "松林 石阶 云雾",
    "城里": "街灯 电车 橱窗",
    "乡下": "麦田 鸡鸣 炊烟",
    "岛上": "渔船 灯塔 海鸥",
}
PEOPLE = {"老师": "您的讲台", "姐姐": "你的长发", "邻居": "隔壁的门", "船长": "您的舵轮"}
GOOD = ("光落在{}里，像旧信一样轻", "我记得{}的声音，慢慢地走近", "{}还在等，风把门推开一半", "一粒{}就够讲完整个下午")
BAD = ("希望{}非常好，一切都顺利", "总之{}是很不错的东西", "{}真的很好很好，大家都说好", "关于{}没有什么要说的")
FILLER = ("天色暗下来。", "有人说话。", "时间过去了。", "桌上有一杯水。", "那天是星期二。")
OPENINGS = ("写写", "来一段", "请写", "说说")


def pairs(count: int, seed: int = 0, longer: float = 0.5) -> list[dict[str, str]]:
    """`count` rows with query, chosen and rejected."""
    rng = random.Random(seed)
    rows = []
    for number in range(count):
        place, person = rng.choice(list(PLACES)), rng.choice(list(PEOPLE))
        more, less = rng.randint(2, 4), rng.randint(0, 2)
        good_filler, bad_filler = (more, less) if rng.random() < longer else (less, more)
        query = f"{rng.choice(OPENINGS)}{person}在{place}，第{number}个"
        rows.append({
            "query": query,
            "chosen": _text(rng, GOOD, place, person, good_filler),
            "rejected": _text(rng, BAD, place, person, bad_filler),
        })  # fmt: skip
    return rows


def _text(rng: random.Random, phrases: tuple[str, ...], place: str, person: str, filler: int) -> str:
    things = PLACES[place].split()
    told = [f"{phrase.format(rng.choice(things))}。" for phrase in rng.sample(phrases, 2)]
    parts = [*told, f"{PEOPLE[person]}也在{place}。", *rng.choices(FILLER, k=filler)]
    rng.shuffle(parts)
    return "".join(parts)
