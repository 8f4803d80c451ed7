"""The page is whole, offline, honest about what failed, and safe with odd names."""

import base64
import gzip
import hashlib
import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from undrawn import undrawn
from unpaired.errors import InputError
from unpaired.report.page import write_run_page
from unpaired.runs.facts import read_run_facts
from unpaired.scores.scores import Evaluation, Score
from unpaired.scores.tables import write_evaluation

VOID = {"meta", "img", "source", "link", "br", "hr", "input"}


class Page(HTMLParser):
    """Tags, texts and attributes of a page; fails on tags that don't nest."""

    def __init__(self, text):
        super().__init__()
        self.open, self.images, self.links, self.texts, self.tags, self.ids = [], [], [], [], [], []
        self.scripts, self.all = [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        attributes = dict(attrs)
        self.all.append((tag, attributes))
        if tag == "script":
            self.scripts.append([attributes, ""])
        self.ids += [attributes["id"]] if "id" in attributes else []
        if tag in ("img", "source"):
            self.images.append((tag, attributes))
        if tag == "a":
            self.links.append(attributes["href"])
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts[-1][1] += data
        elif not self.open or self.open[-1] != "style":
            self.texts.append(data)

    def attributes(self, tag, name, value):
        return [attributes for kind, attributes in self.all if kind == tag and attributes.get(name) == value]

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())


@pytest.fixture(scope="module", autouse=True)
def pixels():
    """A browser loads the same page with its pictures."""
    with undrawn():
        yield


@pytest.fixture(scope="module")
def page(world, evaluation):
    dataset, predictions, run = world
    write_evaluation(evaluation, run / "evaluation")
    path = write_run_page(run, dataset, predictions, evaluation, run / "report.html")
    assert path == run / "report.html"
    assert not [file for file in run.iterdir() if "tmp" in file.name]
    return Page(path.read_text(encoding="utf-8"))


def test_nothing_is_fetched(world, page):
    text = (world[2] / "report.html").read_text(encoding="utf-8")
    sources = re.findall(r'(?:src|srcset|href)="([^"]*)"', text)
    assert not [source for source in sources if re.match(r"[a-z]+:", source) and not source.startswith("data:image/")]
    assert not {"link", "iframe", "object", "base"} & set(page.tags)
    assert "@import" not in text
    assert "url(" not in text
    assert "default-src 'none'" in text


def test_only_the_viewers_two_scripts_may_run(page):
    """Data blocks aside, the page has one script; the policy names its hash and that of the NiiVue it unpacks."""
    policy = page.attributes("meta", "http-equiv", "Content-Security-Policy")[0]["content"]
    allowed = re.search(r"script-src ([^;]*)$", policy).group(1).split()
    scripts = [text for attributes, text in page.scripts if attributes.get("type") in (None, "text/javascript")]
    packed = [text for attributes, text in page.scripts if attributes.get("id") == "viewer-niivue"]
    assert len(scripts) == len(packed) == 1
    sources = [scripts[0].encode(), gzip.decompress(base64.b64decode(packed[0]))]
    assert allowed == [f"'sha256-{base64.b64encode(hashlib.sha256(one).digest()).decode()}'" for one in sources]
    assert "unsafe" not in policy.partition("script-src")[2]


def test_links_lead_to_files_and_sections_that_exist(world, page):
    for link in page.links:
        if link.startswith("#"):
            assert link[1:] in page.ids
        else:
            assert (world[2] / link).exists(), link
    assert "evaluation/scores.csv" in page.links


def test_every_picture_has_words(page):
    pictures = [attributes for tag, attributes in page.images if tag == "img"]
    assert all(len(attributes["alt"]) > 20 for attributes in pictures)
    assert len({attributes["alt"] for attributes in pictures}) == len(pictures)
    # 3 ct overlays + 1 mr, a missed structure, the strips, and loss, ce, validation Dice, learning rate
    assert len(pictures) == 4 + 1 + 1 + 4
    assert sum(tag == "source" for tag, _ in page.images) == 1 + 4  # dark versions of the drawings


def test_overlays_show_worst_median_and_best_of_every_modality(page):
    captions = re.findall(r"(worst|median|best|only) · (\w+) · mean Dice (\d\.\d{3})", page.text)
    assert [caption[:2] for caption in captions] == [
        ("worst", "c_ct"),
        ("median", "b_ct"),
        ("best", "a_ct"),
        ("only", "e_mr"),
    ]
    assert captions[2][2] == "1.000"
    assert "missed: RV" in page.text


def test_scores_stand_beside_their_counts(page, evaluation):
    mean = evaluation.mean("dice", "ct", "RV")
    assert (mean.n, mean.n_scored, mean.n_missed) == (3, 2, 1)
    hd95, assd = (evaluation.mean(name, "ct", "RV").value for name in ("hd95", "assd"))
    assert f"ct RV {mean.value:.3f} {hd95:.2f} {assd:.2f} 3 2 1 0" in page.text
    assert "voxel surface" in page.text


def test_failures_come_before_the_scores(page, evaluation):
    assert "1 case could not be scored" in page.text
    assert page.text.index(evaluation.failures[0].message) < page.text.index("mean foreground Dice")


def test_run_facts_are_shown(page):
    assert "One network (FCN) for ct, mr, trained with Supervised for 30 steps" in page.text
    assert '"width": 8' in page.text
    assert "changed True" in page.text
    assert "ct train 1 1 1" in page.text
    assert "Missing from this report" not in page.text


def test_missing_files_are_named_and_nothing_else_breaks(world, evaluation, tmp_path):
    dataset, predictions, _ = world
    (tmp_path / "log.csv").write_text("")
    (tmp_path / "recipe.json").write_text("{")
    (tmp_path / "split.json").write_text("[]")
    text = Page(
        write_run_page(tmp_path, dataset, predictions, evaluation, tmp_path / "x" / "r.html").read_text(
            encoding="utf-8"
        )
    ).text
    for name in ("log.csv has no rows", "recipe.json: expected JSON", "split.json: expected a JSON object"):
        assert name in text
    assert "versions.json is not in the run folder" in text
    assert "holds no training log" in text


def test_names_are_text_and_never_markup(world, tmp_path):
    dataset, predictions, run = world
    evil = "<script>alert(1)</script>"
    odd = replace(dataset, name=evil, classes=("background", "<b>LV", 'R"V'), about="<img src=x>")
    evaluation = Evaluation([Score("a_ct", evil, "ct", "<b>LV", "scored", 0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0)], [])
    path = write_run_page(run, odd, predictions, evaluation, tmp_path / "r.html")
    page = Page(path.read_text(encoding="utf-8"))
    own = {"viewer-facts", "viewer-niivue", "viewer-0-image", "viewer-0-reference", "viewer-0-prediction"}
    assert [attributes.get("id") for attributes, _ in page.scripts if attributes.get("id") not in own] == [None]
    assert evil in page.text
    assert all(attributes.get("src", "data:").startswith("data:") for _, attributes in page.images)


def test_patients_seen_in_training_are_called_out(world, evaluation, tmp_path):
    dataset, predictions, run = world
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / "split.json").write_text(json.dumps({"train": ["a_ct"], "test": ["a_ct"]}))
    (tmp_path / "run" / "recipe.json").write_text(json.dumps({"preprocessing": {"roi": "label"}}))
    text = Page(
        write_run_page(tmp_path / "run", dataset, predictions, evaluation, tmp_path / "r.html").read_text(
            encoding="utf-8"
        )
    ).text
    assert "also used in training or validation (p_a)" in text
    assert "the reference leaks" in text


def test_an_evaluation_without_scores_and_a_vanished_prediction(world, evaluation, tmp_path):
    dataset, predictions, run = world
    none = Evaluation([], evaluation.failures)
    text = Page(
        write_run_page(run, dataset, predictions, none, tmp_path / "none.html").read_text(encoding="utf-8")
    ).text
    assert "No case was scored" in text
    only = Evaluation([score for score in evaluation.scores if score.case == "e_mr"], [])
    text = Page(write_run_page(run, dataset, tmp_path, only, tmp_path / "gone.html").read_text(encoding="utf-8")).text
    assert "Not drawn: the prediction e_mr.nii.gz is no longer in" in text


def test_a_run_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match="expected a run folder"):
        read_run_facts(tmp_path / "nowhere")
