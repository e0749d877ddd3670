"""The page of the gate, looked at in a real browser: on a phone, by keyboard, on paper."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from packetrig import gate
from packetrig.gate.outcome import Answer, Candidate, Judged, Outcome, Reason, Waiver
from packetrig.gate.waivers import today

pytestmark = pytest.mark.slow

PROJECT = Path(__file__).parents[2]
POLICY = """
version = 1
[replay]
pcap = ["fixtures/pcap/dns.pcap"]
setup = "fixtures/policy/{program}.toml"
"""
GIVEN = ["progs/xdp_mac_filter.bpf.c", "progs/faulty/xdp_http_off_by_one.bpf.c"]
_MOST_MILLISECONDS = 250_000  # until something hangs
EVIL = '<script>alert("1")</script>&</pre>'


def browser_path() -> str:
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((path for name in names if (path := shutil.which(name))), "")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start Chromium, without a window."""
    path = browser_path()
    if not path:
        pytest.skip("there is no Chromium here: apt-get install chromium")
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=path, args=arguments, timeout=_MOST_MILLISECONDS
        )
        yield started
        started.close()


def made_up() -> Judged:
    """Make an object about which everything is said that a page can show, some of it hostile."""
    lines = [
        {"number": 1, "count": "7", "text": "int x;", "style": "", "note": ""},
        {"number": 2, "count": "0", "text": EVIL + "x" * 300, "style": "missed", "note": "never"},
    ]
    curve = {"points": [(0, 0), (10, 5), (20, 9)], "x": "runs", "y": "branches", "told": "9 of 12"}
    reason = Reason("it is <wrong> " + "w" * 200, "packetrig run 'x y' " + "0" * 4000, EVIL)
    sources = [{"path": "progs/x.bpf.c", "told": "50 % of lines", "lines": lines}]
    return Judged(
        Candidate(EVIL, Path("x.o"), Path("x.o")),
        (
            Outcome("build", Answer.REFUSED, "bad", (reason,), {"a": {"b": [1, {"c": EVIL}]}}),
            Outcome(
                "verifier", Answer.HELD, "9 insns", shows={"sources": sources, "curves": [curve]}
            ),
            Outcome("tests", Answer.WAIVED, "2", (reason,), waiver=Waiver("known", today())),
            Outcome("replay", Answer.UNDECIDED, "cannot tell", (Reason("no frame"),)),
            Outcome("speed", Answer.OFF, "off"),
            Outcome("live", Answer.NOT_REACHED, "-"),
        ),
    )


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Judge a right and a wrong program, and write their page with that of a made up one."""
    place = tmp_path_factory.mktemp("page")
    (place / "gate.toml").write_text(POLICY)
    before = Path.cwd()
    os.chdir(PROJECT)
    try:
        policy = gate.read(place / "gate.toml")
        given = [Path(each) for each in GIVEN]
        events = gate.judge(policy, given, into=place / "build", seed=7)
        judged = [event for event in events if isinstance(event, Judged)]
        return gate.html.page([*judged, made_up()], policy, seed=7)
    finally:
        os.chdir(before)


@pytest.fixture(params=[360, 1200], ids=["phone", "desk"])
def page(
    browser: Browser, text: str, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Page]:
    """Open the page in a window; a word on the console, or a second request, is an error."""
    (tmp_path / "report.html").write_text(text)
    opened = browser.new_page(viewport={"width": request.param, "height": 700})
    opened.set_default_timeout(_MOST_MILLISECONDS)
    said: list[str] = []
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on("dialog", lambda dialog: said.append(dialog.message))
    opened.on("request", lambda asked: said.append(asked.url))
    url = (tmp_path / "report.html").as_uri()
    opened.goto(url)
    yield opened
    opened.close()
    assert said == [url]


def test_nothing_is_wider_than_the_window(page: Page) -> None:
    page.eval_on_selector_all("details", "all => all.forEach(each => each.open = true)")

    assert page.evaluate("document.documentElement.scrollWidth") == page.viewport_size["width"]


def test_every_rule_is_reached_and_opened_by_keyboard(page: Page) -> None:
    count = page.locator("summary").count()
    reached: set[str] = set()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"

    while (name := page.evaluate("document.activeElement.tagName")) != "BODY":
        style = page.evaluate(
            "(s => [s.outlineStyle, s.outlineWidth])(getComputedStyle(document.activeElement))"
        )
        assert style == ["solid", "3px"]
        if name == "SUMMARY":
            was = page.evaluate("document.activeElement.parentElement.open")
            page.keyboard.press("Enter")
            assert page.evaluate("document.activeElement.parentElement.open") is not was
            if was:
                page.keyboard.press("Enter")
            reached.add(page.evaluate("document.activeElement.innerText + Math.random()"))
        page.keyboard.press("Tab")

    assert len(reached) == count


def test_what_scrolls_can_be_scrolled_by_keyboard(page: Page) -> None:
    page.eval_on_selector_all("details", "all => all.forEach(each => each.open = true)")

    stuck = page.evaluate(
        "[...document.querySelectorAll('*')].filter(e => e.scrollWidth > e.clientWidth + 1 &&"
        " getComputedStyle(e).overflowX === 'auto' && e.tabIndex < 0).map(e => e.outerHTML)"
    )

    assert stuck == []


def test_what_is_wrong_is_open_and_the_packet_is_shown_layer_by_layer(page: Page) -> None:
    rule = page.locator("#object-xdp_http_off_by_one-replay")

    assert rule.evaluate("each => each.open")
    assert not page.locator("#object-xdp_mac_filter-replay").evaluate("each => each.open")
    shown = rule.locator("pre").first.inner_text()
    assert "Ether / IP" in shown and "repeat" in shown
    assert "packetrig run" in rule.inner_text()


def test_text_is_legible_in_light_and_dark(page: Page) -> None:
    contrast = """
        () => [...document.querySelectorAll('.mark, .faint, dt, a, p, h3')].map(each => {
            const rgb = color => color.match(/[\\d.]+/g).slice(0, 3).map(c => {
                c /= 255; return c <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4 });
            const light = c => .2126 * c[0] + .7152 * c[1] + .0722 * c[2];
            const ink = light(rgb(getComputedStyle(each).color));
            const paper = light(rgb(getComputedStyle(document.body).backgroundColor));
            return (Math.max(ink, paper) + .05) / (Math.min(ink, paper) + .05) })
    """

    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert min(page.evaluate(contrast)) >= 4.5


def test_it_prints_with_everything_on_it(page: Page) -> None:
    page.emulate_media(media="print")

    hidden = page.evaluate(
        "[...document.querySelectorAll('details > div')].filter(e => !e.checkVisibility() ||"
        " e.getBoundingClientRect().height === 0).length"
    )

    assert hidden == 0
    assert page.pdf().startswith(b"%PDF-")


def test_nothing_is_fetched_and_no_text_becomes_markup(text: str) -> None:
    class Reader(HTMLParser):
        tags: list[str] = []  # noqa: RUF012  # of this one reader

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.tags.append(tag)
            for name, value in attrs:
                if name in ("src", "href"):
                    assert (value or "").startswith(("#", "data:,"))
                assert not name.startswith("on")

    reader = Reader()
    reader.feed(text)

    assert "script" not in reader.tags
    assert re.findall(r"url\(|@import", text) == []
    assert "&lt;script&gt;" in text


def test_the_same_decisions_give_the_same_page(text: str, tmp_path: Path) -> None:
    (tmp_path / "gate.toml").write_text("version = 1\n[build]\n")
    policy = gate.read(tmp_path / "gate.toml")

    pages = {gate.html.page([made_up()], policy, seed=7) for _ in range(2)}

    assert len(pages) == 1
    assert gate.html.page([], policy, seed=7)
