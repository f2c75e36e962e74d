"""The report in a real browser: what its script does, and that nothing goes wrong on the way."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from faultbench.output.report import write_report
from faultbench.results.analysis.results import read_results
from tests.builders.programs import program
from tests.builders.results import ArtificialCampaign, a_trial, write_journal

SCHEMES = ("relu", "clip_act", "Zeta <b>", "fitact")


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright, of the extra dev")
    path = program("chromium", "chromium-browser", "google-chrome")
    with sync_api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two networks, one LIMITED cell, one empty."""
    made = ArtificialCampaign(schemes=SCHEMES, models=["small", "large"], bers=[1e-6, 1e-5, 1e-4], trials=6)
    folder = made.write_manifest(tmp_path_factory.mktemp("results"))
    cells = [cell["cell"] for cell in made.cells]
    kept = [r for r in made.records if getattr(r, "cell", "") not in (cells[1], cells[-1])]
    write_journal(folder / "journal", "one", [*kept, a_trial(cell=cells[-1], trial=0)])
    return write_report(read_results(folder))


@pytest.fixture
def page(browser, report: Path, request) -> Iterator:
    """The page opened from disk; any message on its console, error or request for another file fails the test."""
    context = browser.new_context(**getattr(request, "param", {"viewport": {"width": 1280, "height": 900}}))
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda asked: None if asked.url == report.as_uri() else said.append(asked.url))
    page.goto(report.as_uri())
    yield page
    assert said == []
    context.close()


def column(page, table: str, number: int) -> list[str]:
    cells = page.locator(f"#{table} tbody tr:visible > :nth-child({number})")
    return [text.strip() for text in cells.all_inner_texts()]


def means(cells: list[str]) -> list[float]:
    return [float(found[0]) for cell in cells if (found := re.search(r"\d+\.\d", cell))]


def test_a_click_on_a_head_sorts_numbers_from_the_highest_and_the_next_turns_them(page):
    head = page.locator("#headline-table thead th", has_text="BER 1e-4")
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    place = 1 + page.locator("#headline-table thead th").all_inner_texts().index(head.inner_text())
    numbers = means(column(page, "headline-table", place))
    assert len(numbers) == 8
    assert numbers == sorted(numbers, reverse=True)
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    assert means(column(page, "headline-table", place)) == sorted(numbers)


def test_what_is_unknown_stays_at_the_end_of_either_order(page):
    head = page.locator("#headline-table thead th", has_text="BER 1e-5").get_by_role("button")
    for _ in range(2):
        head.click()
        assert "no trial" in column(page, "headline-table", 5)[-1]


def test_text_sorts_by_the_alphabet(page):
    page.locator("#headline-table thead th", has_text="scheme").get_by_role("button").click()
    assert column(page, "headline-table", 2) == sorted(column(page, "headline-table", 2), key=str.lower)


def test_a_filter_keeps_the_rows_that_hold_every_word(page):
    page.get_by_label("Filter the accuracy table").fill("FITACT large")
    assert column(page, "headline-table", 2) == ["fitact"]
    assert page.locator("#headline .count").inner_text() == "1 of 8 rows"
    page.get_by_label("Filter the cells").fill("limited")
    assert page.locator("#cells-table tbody tr:visible").count() == 1
    page.get_by_label("Filter the accuracy table").fill("")
    assert len(column(page, "headline-table", 2)) == 8


def test_pointing_at_a_ber_shows_the_values_of_every_scheme_there(page):
    place = page.locator("#chart-0 .column").nth(3)
    place.scroll_into_view_if_needed()
    place.hover()
    tip = page.locator("#tip")
    assert tip.is_visible()
    assert tip.locator("strong").inner_text() == "BER 1e-4"
    rows = [row.split("\t") for row in tip.locator("tr").all_inner_texts()]
    assert {row[1] for row in rows} == set(SCHEMES)
    means = [float(row[2]) for row in rows]
    assert means == sorted(means, reverse=True)
    page.mouse.move(3, 3)
    assert not tip.is_visible()


def test_the_keyboard_reaches_the_values_too(page):
    page.locator("#chart-0 .column").nth(1).focus()
    assert page.locator("#tip strong").inner_text() == "BER 1e-6"


def test_a_legend_hides_a_scheme_and_shows_it_again(page):
    button = page.locator("#chart-0 .legend button", has_text="relu")
    curve = page.locator('#chart-0 .curve[data-series="0"]')
    button.click()
    assert not curve.is_visible()
    page.locator("#chart-0 .column").nth(2).hover()
    assert "relu" not in page.locator("#tip").inner_text()
    button.click()
    assert curve.is_visible()


def test_the_comparison_shows_the_ber_chosen(page):
    group = page.locator(".matrices").first
    assert group.locator(".matrix:visible").count() == 1
    assert "BER 1e-4." in group.locator(".matrix:visible").inner_text()
    group.get_by_role("button", name="BER 1e-6").click()
    assert "BER 1e-6." in group.locator(".matrix:visible").inner_text()


def background(page) -> str:
    return page.evaluate("getComputedStyle(document.body).backgroundColor")


def test_the_theme_is_the_systems_until_the_button_turns_it(browser, report: Path):
    found = {}
    for scheme in ("light", "dark"):
        page = browser.new_page(color_scheme=scheme)
        page.goto(report.as_uri())
        found[scheme] = background(page)
        page.get_by_role("button", name="Switch between light and dark").click()
        found[f"{scheme} turned"] = background(page)
        page.emulate_media(media="print")
        found[f"{scheme} printed"] = background(page)
        page.close()
    assert found["light"] != found["dark"]
    assert found["light turned"] == found["dark"]
    assert found["dark turned"] == found["light"]
    assert found["light printed"] == found["dark printed"] == "rgb(255, 255, 255)"


SCREENS = [
    {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"},
    {"viewport": {"width": 1280, "height": 900}, "color_scheme": "dark"},
    {"viewport": {"width": 360, "height": 740}, "color_scheme": "light"},
]


@pytest.mark.parametrize("page", SCREENS, ids=["light", "dark", "narrow"], indirect=True)
def test_the_page_never_scrolls_sideways_and_its_text_stands_out(page, request, tmp_path: Path):
    kept = Path(os.environ.get("FAULTBENCH_SCREENSHOTS", tmp_path))
    page.screenshot(path=kept / f"report-{request.node.callspec.id}.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for selector in ("main p", ".small", "td small", ".tick", ".tag", "td.best small", "nav a"):
        ratio = page.locator(selector).first.evaluate(CONTRAST)
        assert ratio >= 4.5, (selector, ratio)


CONTRAST = """(element) => {
  const luminance = (colour) => {
    const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map((c) => c / 255)
      .map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const style = getComputedStyle(element);
  const ink = element instanceof SVGElement ? style.fill : style.color;
  let place = element;
  while (/, 0\\)$|transparent/.test(getComputedStyle(place).backgroundColor)) place = place.parentElement;
  const [low, high] = [luminance(ink), luminance(getComputedStyle(place).backgroundColor)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
}"""


def test_without_its_script_the_page_says_the_same(browser, report: Path):
    page = browser.new_context(java_script_enabled=False).new_page()
    page.goto(report.as_uri())
    assert page.locator("#headline-table tbody tr").count() == 8
    assert page.locator(".matrix:visible").count() == 6
    assert not page.locator("#theme").is_visible()
    assert not page.locator(".filter").first.is_visible()


def test_on_paper_every_table_is_open_and_nothing_to_click_is_left(page):
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("#flips-table").is_visible()
    assert page.locator(".matrix:visible").count() == 6
    assert page.locator("nav, #theme, .filter:visible").locator("visible=true").count() == 0


def test_on_paper_a_map_of_many_rows_fits_the_page(page):
    page.emulate_media(media="print")
    tall = '<figure class="chart"><svg class="harm" viewBox="0 0 400 4000"></svg></figure>'
    page.locator(".charts").first.evaluate("(charts, tall) => charts.insertAdjacentHTML('beforeend', tall)", tall)
    assert 0 < page.locator("svg.harm").last.bounding_box()["height"] < 900
