"""The labelling page in a real browser: by keyboard alone, through a kill -9, blind to what a text wants to be."""

import asyncio
import signal
from urllib.parse import urlsplit

import pytest

from kindling.eval.labelled import read_labelled
from kindling.eval.labelling.items import read_items
from kindling.tables import write_jsonl
from tests.cli.running import rows_of
from tests.cli.test_cli_label import cases, labelling
from tests.devtools import browser, needs_browser

pytestmark = needs_browser
HOSTILE = (
    "<script>document.title = 'owned'</script><img src=x onerror=\"document.title='owned'\">",
    "</div></section>'\"`${document.title='owned'}{{7*7}}",
    "\u202etxet sdrawkcab\u202c 好",
    "W" * 5_000 + "长" * 5_000,
)


@pytest.fixture
async def chromium():
    async with browser() as running:
        yield running


async def shown(page):
    """The texts that are on the page, once it may be answered."""
    await page.until("state && !busy && (!state.case || settled())")
    return await page.js(
        "[document.getElementById('query').textContent, document.getElementById('response').textContent]"
    )


async def answer(page, *keys):
    """Press `keys`, and wait until the server has said what follows."""
    before = await page.js("state.revision")
    for key in keys:
        await page.press(key)
    await page.until(f"!busy && state.revision !== {before}")


def no_trouble(page, address):
    root = f"http://{urlsplit(address).netloc}/"
    assert page.messages == []
    assert [url for url in page.asked if not url.startswith((root, "data:"))] == []


async def test_twenty_cases_two_annotators_and_a_kill_in_the_middle(chromium, kindling, tmp_path):
    file = cases(tmp_path, 20)
    told = {}
    for annotator in ("anna", "本"):
        told[annotator] = []
        for sitting in range(2):
            with labelling(tmp_path, file, "--annotator", annotator) as (command, address):
                page = await chromium.page()
                await page.open(address)
                for _ in range(10):
                    query, response = await shown(page)
                    key = "b" if "你你" in response else "g"
                    told[annotator].append((query, response, "bad" if key == "b" else "good"))
                    await answer(page, key)
                if sitting == 0:
                    command.send(signal.SIGKILL)
                    command.process.join(30)
                    await shown(page)
                    await page.press("g")  # nobody is there to save it
                    await page.until("document.getElementById('note').textContent.includes('Not saved')")
                    page.messages.clear()  # the browser itself reports the refused connection
                else:
                    await page.until("!document.getElementById('end').hidden")
                    assert await page.js("document.getElementById('done').textContent") == "20"
                no_trouble(page, address)
    assert told["anna"] != told["本"]
    rows = rows_of(tmp_path / "cases.labels.jsonl")
    place = {item.id: (item.query, item.response) for item in read_items(file).cases}
    for annotator, labels in told.items():
        assert [(*place[row["case"]], row["answer"]) for row in rows if row["annotator"] == annotator] == labels
    found = kindling("label", file, "--agreement", "--export", "labelled.jsonl", "--json").answer
    assert found["agreement"]["alpha"]["value"] == 1
    assert {(case.query, case.response, case.label) for case in read_labelled(tmp_path / "labelled.jsonl")} == set(
        told["anna"]
    )


async def test_five_dimensions_by_keyboard_with_undo_and_cannot_tell(chromium, tmp_path):
    file = cases(tmp_path, 4)
    with labelling(tmp_path, file, "--annotator", "anna", "--rubric", "five") as (_, address):
        page = await chromium.page()
        await page.open(address, width=390, height=844)
        first = await shown(page)
        await page.press("Enter")  # nothing is scored yet
        for key in ("3", "1", "2", "2", "2", "ArrowUp", "1"):
            await page.press(key)
        await answer(page, "Enter")
        await shown(page)
        await answer(page, "u")
        assert await shown(page) == first
        assert await page.js("Object.values(scores).join('')") == "31212"
        await page.press("2")  # the first dimension again: all others stand
        await answer(page, "Enter")
        await shown(page)
        await answer(page, "c")
        assert await page.js("document.documentElement.scrollWidth") == 390
        no_trouble(page, address)
    rows = rows_of(tmp_path / "cases.labels.jsonl")
    assert [row["answer"] for row in rows] == ["bad", "undone", "bad", "cannot tell"]
    assert list(rows[0]["scores"].values()) == [3, 1, 2, 1, 2]
    assert list(rows[2]["scores"].values()) == [2, 1, 2, 1, 2]


async def test_two_windows_do_not_answer_for_each_other(chromium, tmp_path):
    file = cases(tmp_path, 4)
    with labelling(tmp_path, file, "--annotator", "anna") as (_, address):
        pages = [await chromium.page() for _ in range(2)]
        for page in pages:
            await page.open(address)
            await shown(page)
        same = [await shown(page) for page in pages]
        assert same[0] == same[1]
        # without the focus event that would bring the second window up to date
        await pages[0].js("answer('good')")
        await pages[0].until("!busy && state.done === 1")
        await pages[1].js("act('answer', {case: state.case.id, revision: 0, answer: 'bad'}, '')")
        await pages[1].until("!busy && state.done === 1")
        assert await shown(pages[1]) == await shown(pages[0]) != same[0]
        # the server's refusal is a message of the browser's own
        assert all("409" in message for message in pages[1].messages)
    assert [row["answer"] for row in rows_of(tmp_path / "cases.labels.jsonl")] == ["good"]


async def test_what_stood_before_an_answer_does_not_come_back_after_it(chromium, tmp_path):
    file = cases(tmp_path, 4)
    with labelling(tmp_path, file, "--annotator", "anna") as (_, address):
        page = await chromium.page()
        await page.open(address)
        first = await shown(page)
        # the window gets the focus, and what stands is slow to arrive
        await page.js("""
            fetched = fetch;
            late = new Promise(now => arrive = now);
            fetch = (path, options) => path === "state"
              ? fetched(path).then(async found => { await late; return found }) : fetched(path, options);
            asked = ask;
            ask = (path, body) => path === "state"
              ? asked(path).finally(() => setTimeout(() => arrived = true)) : asked(path, body);
            arrived = false;
            dispatchEvent(new Event("focus"));
        """)
        await answer(page, "g")
        second = await shown(page)
        await page.js("arrive()")
        await page.until("arrived")
        assert await shown(page) == second != first
        assert await page.js("state.done") == 1


async def test_a_key_that_is_held_down_answers_one_case(chromium, tmp_path):
    file = cases(tmp_path, 6)
    with labelling(tmp_path, file, "--annotator", "anna") as (_, address):
        page = await chromium.page()
        await page.open(address)
        await shown(page)
        for _ in range(5):
            await page.call("Input.dispatchKeyEvent", type="keyDown", key="g", text="g", autoRepeat=_ > 0)
        await page.press("g")  # and a second stroke before anybody can have read the next case
        await page.until("!busy && state.done === 1")
        await asyncio.sleep(0.1)
    assert len(rows_of(tmp_path / "cases.labels.jsonl")) == 1


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
async def test_hostile_texts_are_texts(chromium, tmp_path, width, dark):
    file = tmp_path / "cases.jsonl"
    write_jsonl(file, [{"query": text, "response": text, "source": "secret", "label": "good"} for text in HOSTILE])
    with labelling(tmp_path, file, "--annotator", "<b>anna</b>") as (_, address):
        page = await chromium.page()
        await page.open(address, width=width, height=800, dark=dark)
        for _ in HOSTILE:
            query, response = await shown(page)
            assert query == response
            assert query in HOSTILE
            assert await page.js("document.getElementById('who').textContent") == "<b>anna</b>"
            assert await page.js("document.documentElement.scrollWidth <= innerWidth")
            assert "owned" not in await page.js("document.title")
            # the answers are on screen however long the text is
            assert await page.js("document.getElementById('answers').getBoundingClientRect().bottom <= innerHeight")
            await answer(page, "ArrowRight")
        await page.until("!document.getElementById('end').hidden")
        assert "secret" not in await page.js("JSON.stringify(state) + document.body.textContent")
        no_trouble(page, address)
    assert len(rows_of(tmp_path / "cases.labels.jsonl")) == len(HOSTILE)
