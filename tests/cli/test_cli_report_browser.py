"""Reports in a real browser: nothing is asked of anybody; readable on a telephone, by keyboard, in light and dark."""

import re

import pytest

from kindling.eval.report.reading import report
from tests.devtools import browser, needs_browser
from tests.runs_on_disk import HOSTILE, curated, grown, outcome, played, trained

pytestmark = needs_browser
REASONS = ("paired", "all_bad", "too_few_verdicts", "error", "duplicate")
# every text that is shown, with the contrast of its colour against what is painted behind it
CONTRASTS = """
(() => {
  const parse = text => (text.match(/[\\d.]+/g) || [0, 0, 0, 0]).map(Number);
  const linear = value => (value /= 255) <= .04045 ? value / 12.92 : ((value + .055) / 1.055) ** 2.4;
  const light = ([red, green, blue]) => .2126 * linear(red) + .7152 * linear(green) + .0722 * linear(blue);
  const found = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode.textContent.trim(), place = walker.currentNode.parentElement;
    if (!text || !place.checkVisibility() || place.closest("script, style, title, desc, :disabled, .skip")) continue;
    let behind = place, ground = [0, 0, 0, 0];
    while (behind && !(ground[3] === undefined || ground[3] > 0)) {
      ground = parse(getComputedStyle(behind).backgroundColor);
      behind = behind.parentElement;
    }
    const style = getComputedStyle(place), ink = parse(place.closest("svg") ? style.fill : style.color);
    const [high, low] = [light(ink), light(ground)].sort((one, other) => other - one);
    found.push([(high + .05) / (low + .05), text.slice(0, 40), style.color]);
  }
  return found;
})()
"""


# drawings that say nothing to who cannot see them
UNTOLD = """
[...document.querySelectorAll('svg:not(svg svg)')].filter(one => one.getAttribute('role') !== 'img'
  || !one.querySelector(':scope > title') || !one.querySelector(':scope > desc').textContent).map(one => one.outerHTML)
"""
SEARCH = """
(() => {
  const field = document.querySelector('input[type=search]'), began = performance.now();
  field.value = '画';
  field.dispatchEvent(new Event('input', {bubbles: true}));
  return performance.now() - began;
})()
"""


@pytest.fixture
async def chromium():
    async with browser() as running:
        yield running


@pytest.fixture
def everything(tmp_path):
    """A page about a run of every kind that needs no command."""
    curated(tmp_path / "loop/curate", [outcome(row, reason=REASONS[row % 5]) for row in range(45)])
    trained(tmp_path / "loop/sft", "sft")
    trained(tmp_path / "loop/rm", status="stopped")
    grown(tmp_path / "loop/grpo", growth=2)
    played(tmp_path / "loop/refine")
    return written(tmp_path / "loop")


def written(run):
    file = run.parent / f"{run.name}.html"
    file.write_text(report(run), encoding="utf-8")
    return file


async def shown(chromium, file, **window):
    page = await chromium.page()
    await page.open(f"file://{file}", **window)
    return page


def no_trouble(page, file):
    assert page.messages == []
    assert [url for url in page.asked if url != f"file://{file}" and not url.startswith("data:")] == []


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (390, False), (390, True)])
async def test_every_kind_is_readable_in_every_window_and_asks_for_nothing(chromium, everything, width, dark):
    page = await shown(chromium, everything, width=width, dark=dark)
    await page.js("document.querySelectorAll('details').forEach(one => one.open = true)")
    await page.until("document.querySelectorAll('.reading').length > 8")
    assert await page.js("document.scrollingElement.scrollWidth <= innerWidth")
    contrasts = await page.js(CONTRASTS)
    assert len(contrasts) > 500
    assert [one for one in contrasts if one[0] < 4.5] == []
    grounds = await page.js("getComputedStyle(document.documentElement).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", grounds))) < 200) is dark
    assert await page.js("document.querySelectorAll('svg:not(svg svg)').length") > 30
    assert await page.js(UNTOLD) == []
    no_trouble(page, everything)


async def test_records_are_searched_filtered_and_turned_by_keyboard(chromium, tmp_path):
    rows = [outcome(row, reason=REASONS[row % 5], said="针" if row == 33 else "草") for row in range(45)]
    file = written(curated(tmp_path / "run", rows))
    page = await shown(chromium, file)
    found = "document.querySelector('.found').textContent"
    assert await page.js(found) == "rows 1 to 10 of 45"
    await page.js("document.querySelector('.pages button:last-child').focus()")
    await page.press("Enter")
    assert await page.js(found) == "rows 11 to 20 of 45"
    await page.js("document.querySelector('input[type=search]').focus()")
    await page.press("针")
    assert await page.js(found) == "1 row"
    assert await page.js("document.querySelector('.entry .query').textContent") == rows[33].query.text
    await page.js("document.querySelector('form').reset(); document.querySelector('select').focus()")
    await page.press("ArrowDown")
    assert await page.js(found) == "rows 1 to 9 of 9"
    outcomes = "[...document.querySelectorAll('.entry .tag:first-child')].map(one => one.textContent)"
    assert set(await page.js(outcomes)) == {"accepted"}
    await page.js("document.querySelectorAll('.entry > summary')[1].focus()")
    await page.press("Enter")
    await page.until("document.querySelectorAll('.entry')[1].querySelectorAll('.reading').length === 3")
    no_trouble(page, file)


async def test_thousands_of_records_stay_usable(chromium, tmp_path):
    rows = [outcome(row, "愿你平安" * 24, REASONS[row % 5], "写得很具体，有画面，也有心意" * 3) for row in range(2_500)]
    file = written(curated(tmp_path / "run", rows))
    assert file.stat().st_size < 6_000_000
    page = await shown(chromium, file)
    told = await page.js("document.querySelector('.records .prose').textContent")
    assert "of 2,500, some of every kind; the rest is in records.jsonl" in told
    assert await page.js("document.querySelectorAll('.entry').length") == 10
    assert await page.js(SEARCH) < 1_000
    assert "of 0" not in await page.js("document.querySelector('.found').textContent")


@pytest.mark.parametrize("width", [1280, 390])
async def test_hostile_texts_are_texts(chromium, tmp_path, width):
    for place, text in enumerate(HOSTILE):
        curated(tmp_path / f"all/{place}", [outcome(0, text, said=text)])
    played(tmp_path / "all/game", HOSTILE[0])
    grown(tmp_path / "all/grpo", HOSTILE[1], growth=0)
    file = written(tmp_path / "all")
    page = await shown(chromium, file, width=width)
    await page.js("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert "owned" not in await page.js("document.title")
    assert await page.js("document.scrollingElement.scrollWidth <= innerWidth")
    said = await page.js("[...document.querySelectorAll('.reading .text')].map(one => one.textContent)")
    assert f"{HOSTILE[0]} 0" in said
    assert "a[U+202E]txet sdrawkcab[U+202C][U+2028][U+2029][U+200B][U+FEFF][U+0000][U+001B][2J z 0" in said
    assert await page.js("document.querySelectorAll('main img, main script:not([type])').length") == 0
    no_trouble(page, file)


async def test_light_and_dark_are_chosen_by_a_button_and_kept(chromium, tmp_path):
    file = written(trained(tmp_path / "run"))
    page = await shown(chromium, file, dark=True)
    scheme = "getComputedStyle(document.documentElement).colorScheme"
    assert await page.js("document.getElementById('theme').textContent") == "Light"
    await page.js("document.getElementById('theme').focus()")
    await page.press("Enter")
    assert await page.js(scheme) == "light"
    assert await page.js("document.getElementById('theme').textContent") == "Dark"
    await page.open(f"file://{file}", dark=True)
    assert await page.js(scheme) == "light"
    no_trouble(page, file)


async def test_without_a_script_everything_but_browsing_is_there(chromium, everything):
    page = await chromium.page()
    await page.call("Emulation.setScriptExecutionDisabled", value=True)
    await page.open(f"file://{everything}", width=390)
    text = await page.js("document.body.innerText")
    said = ("What became of each row", "stopped at step", "Inside the firewall", "要贴切", "Browsing needs JavaScript")
    for words in said:
        assert words in text
    assert await page.js("document.querySelector('.filters').checkVisibility()") is False
    assert await page.js("document.querySelector('.contents a').checkVisibility()") is True


async def test_a_printed_page_has_no_controls_and_what_was_folded(chromium, everything):
    page = await shown(chromium, everything)
    await page.call("Emulation.setEmulatedMedia", media="print")
    await page.js("dispatchEvent(new Event('beforeprint'))")
    assert await page.js("document.querySelector('.filters').checkVisibility()") is False
    assert await page.js("document.querySelector('details.folded dl').checkVisibility()") is True
    assert (await page.call("Page.printToPDF", transferMode="ReturnAsBase64"))["data"]
