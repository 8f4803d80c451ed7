"""The page of a comparison is whole, offline and says what is missed, left out or not drawn."""

import gzip
import hashlib
import re
from base64 import b64decode, b64encode
from html.parser import HTMLParser

import pytest
from chromium import find_chromium, launched

from undrawn import undrawn
from unpaired.comparison.comparison import compare
from unpaired.comparison.contenders import Contender
from unpaired.comparison.files import write_comparison
from unpaired.report import comparison_page, comparison_pictures
from unpaired.report.comparison_page import write_comparison_report
from unpaired.scores.scores import Evaluation, Failure

VOID = {"meta", "img", "source", "br", "input"}


class Page(HTMLParser):
    """Texts, links, ids, pictures and tables of a page; fails on tags that don't nest."""

    def __init__(self, text):
        super().__init__()
        self.open, self.texts, self.links, self.ids, self.alts, self.tables = [], [], [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.links += [attributes["href"]] if "href" in attributes else []
        self.alts += [attributes["alt"]] if tag == "img" else []
        if tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
        elif tag == "table":
            self.tables.append([])
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)
        if {"td", "th"} & set(self.open):
            self.tables[-1][-1][-1] += data

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())


@pytest.fixture(scope="module")
def world(rivals):
    return rivals


@pytest.fixture(scope="module")
def comparison(world):
    return compare(world[1], ["dice", "hd95"])


@pytest.fixture(scope="module")
def html(world, comparison):
    dataset, _, predictions, folder = world
    write_comparison(comparison, folder / "out")
    with undrawn(whole=True):
        path = write_comparison_report(comparison, folder / "out" / "comparison.html", dataset, predictions)
    assert not [file for file in path.parent.iterdir() if "tmp" in file.name]
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


def test_nothing_is_fetched_and_only_the_viewer_runs(html, page):
    for address in re.findall(r'(?:src|srcset|href)="([^"]*)"', html):
        assert address.startswith(("data:image/", "#")) or ":" not in address
    running = re.findall(r"<script>(.*?)</script>", html, re.S)
    niivue = gzip.decompress(b64decode(re.search(r'id="viewer-niivue">(.*?)</script>', html, re.S).group(1)))
    sums = [b64encode(hashlib.sha256(text).digest()).decode() for text in (running[0].encode(), niivue)]
    assert len(running) == 1
    assert len(re.findall(r"<script(?! type=.(?:text/plain|application/json))", html)) == 1
    policy = " ".join(re.search(r'Policy" content="([^"]*)"', html).group(1).split())
    scripts = " ".join(f"'sha256-{one}'" for one in sums)
    assert policy == f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {scripts}"


def test_links_lead_somewhere(world, page):
    for link in page.links:
        assert link[1:] in page.ids if link.startswith("#") else (world[3] / "out" / link).is_file()
    assert {"comparison.tex", "differences.csv"} <= set(page.links)


def test_names_are_text_and_not_tags(page):
    assert "good · bad · <odd> &" in page.text


def test_the_tables_hold_the_numbers(comparison, page):
    dice = next(table for table in page.tables if table[1][0] == "method")
    assert [row[0] for row in dice[2:]] == ["good", "bad", "<odd> & (2 seeds)"]
    column = comparison.main_columns[0]
    assert column.class_name == "mean"
    cell = comparison.cells["dice", column, "bad"]
    place = 1 + comparison.columns.index(column)
    assert dice[3][place].split() == [f"{100 * cell.mean:.2f}", "±", f"{100 * cell.std:.2f}"]
    assert dice[3][-2:] == ["1 of 16", "0"]


def test_every_missed_structure_is_listed_and_drawn(page):
    missed = next(table for table in page.tables if table[0][:2] == ["method", "case"])
    assert [row[1:6] for row in missed[1:]] == [["b_mr", "p_b", "mr", "RV", "missed"]] * 2
    assert missed[1][0] == "bad"
    assert missed[2][0].startswith("<odd> & (")
    drawn = [alt for alt in page.alts if "missed or invented RV" in alt]
    assert len(drawn) == 1
    assert drawn[0].startswith("The same slices of b_mr (mr)")
    assert "bad missed: RV" in page.text


def test_every_structure_of_a_case_is_drawn_even_where_the_case_is_shown_for_another_reason(comparison):
    structures = comparison_pictures.troubled_structures(comparison)
    by_hand = {
        (row.case, row.class_name)
        for method in comparison.contenders
        for seed in method.seeds
        for row in seed.scores
        if row.status in ("missed", "false_positive")
    }
    assert set(structures) == by_hand
    assert structures["b_mr", "RV"] == ["bad", "<odd> &"]


def test_the_hardest_the_median_and_the_easiest_case_are_shown(comparison, page):
    ranks = comparison_pictures.typical_cases(comparison)
    score = comparison.scores[0]
    for modality in comparison.modalities:
        cases = {row.case for row in comparison.reference.scores if row.modality == modality}
        means = {
            case: sum(comparison.case_values[score, name][case] for name in comparison.names) / len(comparison.names)
            for case in cases
        }
        of = {rank: case for case, rank in ranks.items() if case in cases}
        assert means[of["hardest"]] == min(means.values())
        assert means[of["easiest"]] == max(means.values())
    for case in ranks:
        assert any(alt.startswith(f"The same slices of {case} ") for alt in page.alts), case


def test_of_several_seeds_the_worst_is_drawn(world, comparison):
    dataset, _, predictions, _ = world
    views = comparison_pictures._views(comparison, dataset, predictions, "b_mr")
    assert 2 not in views["<odd> &"].prediction  # the second seed's, which missed it
    assert 2 in views["good"].prediction


def test_worst_cases_come_first(comparison, page):
    worst = next(table for table in page.tables if table[0][-1] == "remarks")
    losses = [float(row[5]) for row in worst[1:]]
    assert losses == sorted(losses, reverse=True)
    assert [(row[0], row[2]) for row in worst[1:]] == [
        (one.case, one.method) for one in comparison.losses() if one.loss > 0
    ]


def test_patients_have_values_and_differences(comparison, page):
    table = next(table for table in page.tables if table[0][:2] == ["modality", "patient"])
    assert len(table) == 1 + 8
    assert table[0][2:] == ["good", "bad", "<odd> &", "bad − good", "<odd> & − good"]
    for row in table[1:]:
        good, bad, _, difference, _ = (float(text) for text in row[2:])
        assert difference == pytest.approx(bad - good, abs=0.011)


def test_plots_and_words(page):
    assert len(page.alts) == len(set(page.alts))
    assert sum("every patient" in alt for alt in page.alts) == 4  # two scores, two modalities
    assert sum(alt.startswith("Differences of") for alt in page.alts) == 2


def test_warnings_come_before_the_scores(page):
    assert page.text.index("No p below 0.125 is possible") < page.text.index("Dice %, higher is better")


@pytest.mark.skipif(find_chromium() is None, reason="needs Chromium (see tests/report/chromium.py)")
@pytest.mark.parametrize(("theme", "width"), [("light", 1300), ("dark", 420)])
def test_a_browser_shows_it_without_a_complaint(world, html, tmp_path, theme, width):
    assert html
    with launched(find_chromium(), tmp_path) as browser:
        browser.open(world[3] / "out" / "comparison.html", width=width, theme=theme)
        assert browser.complaints() == []
        assert browser.run("document.documentElement.scrollWidth") <= width  # wide tables scroll in themselves
        broken = "[...document.images].filter(image => !image.complete || !image.naturalWidth).length"
        assert browser.run(broken) == 0
        kept = (
            "(() => { const box = document.querySelector('.values').parentElement;"
            "const x = (element) => element.getBoundingClientRect().x;"
            "box.scrollLeft = 200; return [box.scrollLeft, x(box.querySelector('tbody th')) - x(box)] })()"
        )
        scrolled, apart = browser.run(kept)
        assert scrolled == 0 if width > 1000 else scrolled > 50
        assert apart == 0, "the methods' names stay beside their numbers"
        paper = browser.run("getComputedStyle(document.body).backgroundColor")
        assert paper == {"light": "rgb(255, 255, 255)", "dark": "rgb(21, 25, 30)"}[theme]


@pytest.fixture
def no_plots(monkeypatch):
    """Plots take most of a page's time and are not what these tests look at."""
    monkeypatch.setattr(comparison_page, "score_pictures", lambda comparison: iter(()))


@pytest.mark.usefixtures("no_plots")
def test_without_a_manifest_or_predictions_the_page_says_why_nothing_is_drawn(world, comparison, tmp_path):
    dataset, _, predictions, _ = world
    bare = Page(write_comparison_report(comparison, tmp_path / "bare.html").read_text(encoding="utf-8"))
    assert "Not drawn: no manifest says where the images are" in bare.text
    gone = {**predictions, "bad": [tmp_path]}
    page = Page(write_comparison_report(comparison, tmp_path / "gone.html", dataset, gone).read_text(encoding="utf-8"))
    assert "Not drawn: the prediction" in page.text


@pytest.mark.usefixtures("no_plots")
def test_what_is_left_out_stands_at_the_top(world, tmp_path):
    _, contenders, _, _ = world
    kept = [row for row in contenders[0].seeds[0].scores if row.case != "a_ct"]
    broken = Contender("broken", (Evaluation(kept, [Failure("a_ct", "a_ct.nii.gz: truncated")]),))
    one = compare([contenders[0], broken], ["dice"], common=True)
    page = Page(write_comparison_report(one, tmp_path / "page.html").read_text(encoding="utf-8"))
    assert page.text.index("a_ct : broken (a_ct.nii.gz: truncated)") < page.text.index("Dice %, higher")
    assert "None: every method found every structure" in page.text
    assert "No method loses against good" in page.text
