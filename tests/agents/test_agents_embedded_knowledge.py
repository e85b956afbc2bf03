"""What the embedded judge knows: numbers with names, wording that excludes other wording, who said what, who speaks."""

import pytest

from kindling.agents.embedded.cast import embedded_examiner
from kindling.agents.embedded.examiner import seen
from kindling.agents.embedded.lexicon import load_lexicon
from kindling.errors import InputError
from kindling.prompts.taskpack import load_pack
from kindling.records import Case

PACK = load_pack("greetings")
EXAMINER = embedded_examiner(PACK)


def found(query, text):
    return {finding.check for finding in EXAMINER.examine(Case(query, text))}


@pytest.mark.parametrize(
    ("query", "wrong", "right"),
    [
        ("爷爷七十大寿祝福", "爷爷，花甲之年，愿您的茶常温着。", "爷爷，古稀之年，愿您的茶常温着。"),
        ("爸妈结婚二十五周年", "爸妈，今天是金婚，饭我来做。", "爸妈，今天是银婚，饭我来做。"),
        ("结婚10周年 给老婆", "五周年了，围裙今天归我系。", "十周年了，围裙今天归我系。"),
        ("女儿十八岁生日", "二十岁生日快乐，门外的路你自己走。", "18岁生日快乐，门外的路你自己走。"),
        ("女儿十八岁生日", "二5岁生日快乐，门外的路你自己走。", "一8岁生日快乐，门外的路你自己走。"),
        ("爸爸退休祝福", "像李白说的，采菊东篱下，您也种几盆。", "像陶渊明说的，采菊东篱下，您也种几盆。"),
    ],
)
def test_a_wrong_number_or_name_is_a_slip_and_the_right_one_is_not(query, wrong, right):
    assert "slip" in found(query, wrong)
    assert "slip" not in found(query, right)


@pytest.mark.parametrize(
    ("query", "text"),
    [("女儿十八岁生日", "生日快乐，你三岁那年摔的疤还在膝盖上，如今十八岁了。"), ("生日祝福", "三岁看大，愿你常笑。")],
)
def test_a_number_that_is_a_memory_or_that_nobody_asked_for_is_no_slip(query, text):
    assert "slip" not in found(query, text)


@pytest.mark.parametrize(
    ("query", "wrong", "right"),
    [
        ("朋友生了女儿", "母子平安，就是最好的消息。", "母女平安，就是最好的消息。"),
        ("中秋祝福", "粽子裹住米香，月亮照着桌。", "桂花落在桌上，月亮照着人。"),
        ("班主任寄语毕业", "你们是首届学生，比历届学生都用功。", "你们是首届学生，比我预想的都用功。"),
        ("马年祝福", "辞马迎猴，门口的灯笼换了新的。", "辞蛇迎马，门口的灯笼换了新的。"),
    ],
)
def test_wording_that_cannot_stand_together_is_a_contradiction(query, wrong, right):
    assert "contradiction" in found(query, wrong)
    assert "contradiction" not in found(query, right)


@pytest.mark.parametrize(
    ("query", "audience"),
    [
        ("姑姑给侄女的生日祝福", "niece"),
        ("班主任给毕业班的寄语", "student"),
        ("公司给员工的中秋祝福", "colleague"),
        ("幼儿园老师教师节", "teacher"),
        ("生日祝福 发朋友圈 给老公", "husband"),
        ("爷爷奶奶金婚", "grandparents"),
    ],
)
def test_the_one_who_speaks_or_belongs_somewhere_is_not_the_one_addressed(query, audience):
    assert EXAMINER.read(query).audience == audience


def test_death_may_be_named_where_it_is_the_occasion_and_nowhere_else():
    text = "愿逝者安息，屋里那盏灯我们替他点着。"
    assert "taboo" not in found("朋友父亲去世 慰问", text)
    assert "taboo" in found("生日祝福语", text)


@pytest.mark.parametrize(
    ("query", "text", "cut"),
    [
        ("高考祝福语", "愿你笔尖落下的每一处，都是复习过的老朋", True),
        ("生日祝福语", "生日快乐！愿烛光照着窗台的", True),
        ("高考祝福语", "愿你笔尖落下的每一处，都是复习过的老朋友。", False),
        ("元旦八个字贺词", "新历开封，旧愁入瓮", False),
        ("祝寿诗五言四句", "晓雨新添竹\n东风又上楼\n一杯寿酒暖\n儿女笑声稠", False),
        ("二十岁生日十个字左右", "又大一岁，依旧爱笑的你", False),
    ],
)
def test_a_text_cut_off_is_unfinished_and_verse_is_not(query, text, cut):
    assert ("unfinished" in found(query, text)) == cut


def test_what_cannot_be_seen_hides_nothing():
    query, text = "生日祝福语", "生日快乐！别忘了请客，红包拿来。"
    split = "\u200b".join(text)
    assert seen(split) == text
    assert found(query, split) == found(query, text) | {"hidden"}
    assert seen("ｇｏｏｄ 𝗀𝗈𝗈𝖽") == "good good"


def test_nothing_of_ones_own_grows_by_repetition():
    query, text = "生日祝福语", "祝你生日快乐，万事如意。"
    merits = {"own_words", "fresh", "concrete"}
    assert not found(query, text + "呀" * 40) & merits
    assert found(query, text * 3) & merits == found(query, text) & merits


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('topics = ["dragon_boat"]', 'topics = ["dragon"]', r"conflicts\.0\.topics: 'dragon' is not among topics"),
        ("one = '弄璋'", "one = '(弄璋'", "pattern"),
        ('"花甲" = [60, 69]', '"花甲" = [60]', r"scales\.age\.names\.花甲"),
    ],
)
def test_broken_knowledge_is_named(tmp_path, old, new, says):
    text = PACK.file("lexicon.toml").read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "lexicon.toml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(InputError, match=says):
        load_lexicon(path)
