"""The report in a real browser: no network request, no console error, and all controls work."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from browser import ARROW_LEFT, ARROW_RIGHT, END, ENTER, HOME, Browser, browser, missing_browser
from made_results import write_results_folder

from mono_depth_recon.report.page import write_report

pytestmark = pytest.mark.skipif(bool(missing_browser()), reason=missing_browser() or "there is one")
PHONE, DESKTOP = 390, 1440
# A WebGL canvas can be read only in the frame that draws it: a key makes it draw, then its bright values are summed.
READ_BACK = """new Promise(done => requestAnimationFrame(() => {
  const canvas = document.querySelector('.viewer canvas'), small = document.createElement('canvas');
  canvas.dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowUp'}));
  requestAnimationFrame(() => {
    [small.width, small.height] = [64, 32];
    const context = small.getContext('2d');
    context.drawImage(canvas, 0, 0, 64, 32);
    done(context.getImageData(0, 0, 64, 32).data.reduce((sum, v, i) => sum + (i % 4 < 3 && v > 60 ? v : 0), 0));
  });
}))"""


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One browser for all tests of this file."""
    with browser(tmp_path_factory.mktemp("chromium")) as session:
        yield session


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of results with every part."""
    return write_report(write_results_folder(tmp_path_factory.mktemp("made")))


@pytest.fixture
def page(chromium: Browser, report: Path) -> Browser:
    """The report, freshly loaded at desktop width, with earlier console messages cleared."""
    chromium.complaints()
    chromium.requests()
    chromium.open(report, DESKTOP)
    return chromium


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [PHONE, DESKTOP])
def test_it_opens_offline_without_errors_and_fits_the_window(
    page: Browser, report: Path, width: int, dark: bool
) -> None:
    page.requests()
    page.open(report, width, dark=dark)
    page.wait_for("return document.querySelectorAll('.viewer.ready').length")
    sizes = page.run("const root = document.documentElement; return [root.scrollWidth, root.clientWidth];")
    assert sizes == [width, width], "something is wider than the window"
    assert page.complaints() == []
    assert {address.split(":")[0] for address in page.requests()} <= {"file", "data"}
    assert page.run("return [...document.images].every(image => image.complete && image.naturalWidth > 0);")


def test_dark_and_light_differ_and_text_stands_out_in_both(page: Browser, report: Path) -> None:
    """Contrast of text against the page of at least 4.5 (WCAG AA), also of secondary text and the accent."""
    script = """
      const luminance = color => {
        const context = document.createElement('canvas').getContext('2d');
        context.fillStyle = color; context.fillRect(0, 0, 1, 1);
        const [r, g, b] = [...context.getImageData(0, 0, 1, 1).data].slice(0, 3)
          .map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
      };
      const style = getComputedStyle(document.documentElement);
      const paper = luminance(style.getPropertyValue('--paper'));
      return ['--ink', '--soft', '--accent', '--bad'].map(name => {
        const other = luminance(style.getPropertyValue(name));
        return (Math.max(paper, other) + 0.05) / (Math.min(paper, other) + 0.05);
      });"""
    papers = set()
    for dark in (False, True):
        page.open(report, DESKTOP, dark=dark)
        assert min(page.run(script)) >= 4.5
        papers.add(page.run("return getComputedStyle(document.body).backgroundColor;"))
    assert len(papers) == 2


def column(page: Browser) -> list[str]:
    """Names in the first body of the first table, top to bottom."""
    rows = "[...document.querySelector('#scores table').tBodies[0].rows]"
    names: list[str] = page.run(f"return {rows}.map(row => row.cells[0].textContent);")
    return names


def test_tables_sort_by_click_and_keyboard_and_say_so(page: Browser) -> None:
    page.run(
        "document.querySelector('#scores-0-affine').hidden = false;document.querySelector('#scores-0-metric').remove();"
    )  # affine has two models with figures
    assert column(page)[0].startswith("near_model")
    abs_rel = "document.querySelector('#scores thead th:nth-child(2)')"
    page.run(f"{abs_rel}.firstElementChild.click();")
    assert page.run(f"return {abs_rel}.getAttribute('aria-sort');") == "ascending", "lower is better"
    first = column(page)
    assert first[0].startswith("near_model") and first[-1] == "absent", "what has no figures comes last"
    page.run(f"{abs_rel}.firstElementChild.focus();")
    page.press(ENTER)
    assert page.run(f"return {abs_rel}.getAttribute('aria-sort');") == "descending"
    assert column(page)[0].startswith("<i>far") and column(page)[-1] == "absent"
    delta = "document.querySelector('#scores thead th:nth-child(4)')"
    page.run(f"{delta}.firstElementChild.click();")
    assert page.run(f"return [{delta}, {abs_rel}].map(h => h.getAttribute('aria-sort'));") == ["descending", "none"]
    assert page.run("return document.querySelector('#scores tbody.baselines tr').textContent;") == "Baselines"


def test_protocols_are_tabs_for_the_keyboard(page: Browser) -> None:
    shown = "return [...document.querySelectorAll('#scores .panel')].filter(p => !p.hidden).map(p => p.dataset.tab);"
    assert page.run(shown) == ["metric"]
    page.run("document.querySelector('#scores [role=tab]').focus();")
    page.press(ARROW_RIGHT)
    assert page.run(shown) == ["affine"]
    page.press(END)
    assert page.run(shown) == ["paper"]
    assert page.run("return document.activeElement.getAttribute('aria-selected');") == "true"


def test_the_slider_goes_from_colour_to_error_by_keyboard(page: Browser) -> None:
    cut = "return document.querySelector('.stage').style.getPropertyValue('--cut');"
    said = "return document.querySelector('.slide input').getAttribute('aria-valuetext');"
    page.run("document.querySelector('.slide input').focus();")
    page.press(HOME)
    assert page.run(said) == "Colour" and page.run(cut) == "100%"
    page.press(ARROW_RIGHT * 3)
    assert page.run(said) == "Colour and 3 % Truth" and page.run(cut) == "97%"
    shown = page.run("return document.querySelector('.stage .over').src;")
    assert shown == page.run("return document.querySelector('details[open] img[data-kind=truth]').src;")
    page.press(END)
    assert page.run(said) == "Error"
    assert page.run("return document.querySelector('.stage .over').src;") == page.run(
        "return document.querySelector('details[open] img[data-kind=error]').src;"
    )
    page.press(ARROW_LEFT)
    assert page.run(said) == "Prediction and 99 % Error"


def test_the_slider_follows_a_finger_and_the_chosen_model_and_frame(page: Browser, report: Path) -> None:
    page.open(report, PHONE)
    page.run("document.querySelector('.stage').scrollIntoView({block: 'center', behavior: 'instant'});")
    box = page.run(
        "const b = document.querySelector('.stage').getBoundingClientRect();"
        "return [b.left, b.top, b.width, b.height].map(Math.round);"
    )
    row = box[1] + box[3] // 2
    page.drag((box[0] + box[2] // 2, row), (box[0] + box[2] // 4, row))
    said = page.run("return document.querySelector('.slide input').getAttribute('aria-valuetext');")
    assert said == "Truth and 75 % Prediction"
    before = page.run("return document.querySelector('.stage .over').src;")
    page.run("document.querySelectorAll('.explorer .segments')[0].querySelectorAll('button')[1].click();")
    other = page.run("return document.querySelector('.stage .over').src;")
    assert other != before
    page.run("document.querySelectorAll('.explorer .segments')[1].querySelector('button:last-of-type').click();")
    assert page.run("return document.querySelector('.stage .over').src;") != other
    assert "<i>far &" in page.run("return document.querySelector('.facts-of').textContent;"), "a name, no markup"


def test_the_3d_view_draws_turns_by_keyboard_and_switches_to_surfaces(page: Browser) -> None:
    page.wait_for("return document.querySelector('.viewer.ready canvas')")
    page.run("document.querySelector('.viewer canvas').scrollIntoView({block: 'center', behavior: 'instant'});")
    label = "return document.querySelector('.viewer canvas').getAttribute('aria-label');"
    drawn = page.wait_for(f"return {READ_BACK}")
    assert drawn > 1000, "there is something in the picture"
    before = page.run(label)
    assert "Truth and near_model" in before
    page.run("document.querySelector('.viewer canvas').focus();")
    page.press(ARROW_RIGHT * 3)
    page.wait_for(f"return (() => {{{label}}})() !== {before!r};")
    points = page.run(f"return {READ_BACK};")
    page.run("[...document.querySelectorAll('.viewer button')].find(b => b.textContent === 'Surface').click();")
    assert page.wait_for(f"return {READ_BACK}") != points


def test_without_scripts_everything_is_still_there(page: Browser, report: Path) -> None:
    page.command("Emulation.setScriptExecutionDisabled", value=True)
    try:
        page.open(report, PHONE)
    finally:
        page.command("Emulation.setScriptExecutionDisabled", value=False)
    assert page.run("return [...document.querySelectorAll('#scores .panel')].every(p => p.offsetHeight > 0);")
    assert page.run("return document.querySelectorAll('.explorer *, .viewer canvas').length;") == 0
    assert page.run("return document.documentElement.scrollWidth;") == PHONE


def test_names_of_everything_operable_and_visible(page: Browser) -> None:
    page.wait_for("return document.querySelectorAll('.viewer.ready').length")
    nameless = page.run("""
      const named = e => e.textContent.trim() || e.getAttribute('aria-label') || e.alt || e.labels?.length;
      return [...document.querySelectorAll('button, input, a, summary, img, [role=img]')]
        .filter(e => !named(e) && !e.closest('.stage')).map(e => e.outerHTML.slice(0, 200));""")
    assert nameless == []
    assert page.run("return document.querySelectorAll('h1').length;") == 1
    levels = page.run("return [...document.querySelectorAll('main h2, main h3, main h4')].map(h => +h.tagName[1]);")
    assert levels[0] == 2 and all(b - a <= 1 for a, b in pairwise(levels))
