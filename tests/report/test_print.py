"""On paper: an auditor prints the report, and everything that is on the screen is on the page, readable, whole and in its colours."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from dr.report.html import render_drill, render_run
from dr.report.period_page import render_period
from tests.report.test_period import page_of, told
from tests.report.test_render import a_drill, a_run, lag

PAGES = {"run": render_run(a_run(), lag()), "drill": render_drill(a_drill(a_run()), lag()), "period": render_period(page_of(told()))}


Rules = dict[str, dict[str, str]]


def rules(text: str) -> Rules:
    """Selector → properties, of one piece of style without anything nested."""
    found: Rules = {}
    for selectors, body in re.findall(r"([^{}]+)\{([^{}]*)\}", text):
        pairs = {name.strip(): value.strip() for name, _, value in (item.partition(":") for item in body.split(";")) if value}
        for selector in selectors.split(","):
            found.setdefault(" ".join(selector.split()), {}).update(pairs)
    return found


def blocks(page: str) -> Iterator[tuple[str, str]]:
    """The style of a page as pairs of media query and rules; an empty query where they count always."""
    text = page.split("<style>")[1].split("</style>")[0]
    while text:
        head, found, text = text.partition("@media ")
        yield "", head
        query, _, text = text.partition("{")
        depth = 1
        for place, sign in enumerate(text):
            depth += {"{": 1, "}": -1}.get(sign, 0)
            if depth == 0:
                yield query.strip(), text[:place]
                text = text[place + 1 :]
                break
        assert depth == 0 or not found, "a block does not end"


def style(page: str, query: str = "") -> Rules:
    """All rules of one media query."""
    return rules("".join(text for found, text in blocks(page) if found == query))


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_nothing_is_hidden_or_cut_off_on_paper(page: str) -> None:
    """Paper cannot be scrolled or unfolded: no rule hides anything, what scrolls on a screen is shown whole, nothing waits for a click."""
    paper, screen = style(page, "print"), style(page)
    for values in (*paper.values(), *screen.values()):
        assert values.get("display") != "none"
        assert values.get("visibility") != "hidden"
    cut = {"auto", "scroll"}  # hidden, of boxes that grow with what is in them, only rounds their corners
    scrolling = {selector for selector, values in screen.items() if cut & {values.get("overflow"), values.get("overflow-x")}}
    assert ".scroll" in scrolling
    assert {paper.get(selector, {}).get("overflow") for selector in scrolling} == {"visible"}
    assert "<details" not in page
    assert paper["main"]["max-width"] == "none"


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_what_belongs_together_stays_on_one_page(page: str) -> None:
    """No row, chart or verdict is cut by the edge of a page; a long table says its columns again; no heading stands alone."""
    paper = style(page, "print")
    for together in ("figure", ".verdict", ".figures", ".debt li", "tr", ".together"):
        assert paper[together]["break-inside"] == "avoid", together
    assert paper["thead"]["display"] == "table-header-group"
    assert paper["h2"]["break-after"] == paper["h3"]["break-after"] == "avoid"
    assert re.search(r"@page \{ size: A4; margin: [^}]+\}", page)


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_colours_are_light_and_printed(page: str) -> None:
    """Whoever reads in the dark prints dark ink on white; bars and marks keep their colours; every colour of the dark theme has one."""
    paper, dark = style(page, "print"), style(page, "(prefers-color-scheme: dark)")
    assert paper[":root"]["--paper"] == "#ffffff"
    assert {name for name in dark[":root"] if name.startswith("--")} <= set(paper[":root"])
    assert paper["*"]["print-color-adjust"] == "exact"
    assert paper[":root"]["color-scheme"] == "light"
