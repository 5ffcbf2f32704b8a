"""The evaluation folder: whole, self-contained, and true to what went in."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from cairn.domain import Credit, Evidence, Landmark, Prediction
from cairn.errors import CairnError
from cairn.evaluate import evaluate
from cairn.pages import Thumbnails
from cairn.pages.drawing import drawing
from cairn.predictions import read_answers
from cairn.report import PickedImage, write_report
from cairn.report.cases import choose
from cairn.report.decision import Decision, decide
from cairn.report.decision_plots import kinds_with_threshold
from cairn.report.evaluated import read_run
from cairn.report.outcomes import Outcomes
from cairn.submission import by_image, read_submission

TRUTH: dict[str, frozenset[str]] = {
    "q1": frozenset({"tower"}),
    "q2": frozenset({"台北"}),
    "q3": frozenset({"tower"}),
    "n1": frozenset(),
}
COUNTS = {"tower": 4, "台北": 2}


def _evidence(landmark: str, similarity: float, penalty: float = 0.0) -> Evidence:
    return Evidence(f"g-{landmark}", landmark, f"{landmark}.jpg", similarity, penalty)


AFTER = [
    Prediction("q1", "tower", 0.8, (_evidence("tower", 0.8), _evidence("台北", 0.5))),
    Prediction("q2", "tower", 0.6, (_evidence("tower", 0.6),)),
    Prediction("q3", None, 0.0),
    Prediction("n1", "<b>bold</b>", 0.3, (_evidence("<b>bold</b>", 0.5, 0.2),)),
]
BEFORE = [
    Prediction("q1", "台北", 0.85),
    Prediction("q2", "台北", 0.61),
    Prediction("q3", None, 0.0),
    Prediction("n1", "<b>bold</b>", 0.5),
]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    photos = tmp_path_factory.mktemp("photos")
    Image.new("RGB", (300, 200), "#336699").save(photos / "tower.jpg")
    Image.new("RGB", (900, 100), "#996633").save(photos / "台北.jpg")
    (photos / "broken.jpg").write_bytes(b"no picture")
    report = evaluate(
        by_image(AFTER),
        TRUTH,
        before=by_image(BEFORE),
        gallery_counts=COUNTS,
        num_resamples=20,
    )
    folder = photos / "evaluation"
    write_report(
        folder,
        report=report,
        predictions=AFTER,
        truth=TRUTH,
        before=BEFORE,
        query_paths={"q1": "tower.jpg", "q2": "broken.jpg"},
        photo_root=photos,
        gallery_counts=COUNTS,
        gallery_examples={"台北": "台北.jpg"},
        picked=[
            PickedImage("g-tower", "tower", "tower.jpg", 7, 0.61, 0.42),
            PickedImage("never", "tower", "tower.jpg", 0, 0.0, 0.0),
        ],
        landmark_names={"台北": "Taipei 101 & friends"},
        title="A <report>",
        facts={"Model": "none"},
        provenance={"seed": 0},
    )
    return folder


@pytest.fixture(scope="module")
def page(written: Path) -> str:
    return (written / "report.html").read_text(encoding="utf-8")


def test_the_folder_holds_its_files(written: Path) -> None:
    names = {"report.json", "report.html", "predictions.parquet", "submission.csv"}
    names |= {"tables.md", "tables.tex", "plots"}
    assert {path.name for path in written.iterdir()} == names
    plots = {"kinds", "precision", "scores", "sizes", "imbalance", "open-set", "risk"}
    files = {path.name for path in (written / "plots").iterdir()}
    assert files == {f"{name}.{kind}" for name in plots for kind in ("png", "svg")}


def test_the_json_is_the_report(written: Path) -> None:
    value = json.loads((written / "report.json").read_text(encoding="utf-8"))
    assert value["gap"] == pytest.approx(1 / 3)
    assert value["before"]["gap"] == pytest.approx(1 / 2 / 3)
    assert value["provenance"] == {"seed": 0}


def test_the_submission_reads_back(written: Path) -> None:
    back = read_submission(written / "submission.csv")
    assert back == {one.image_id: by_image(AFTER).get(one.image_id) for one in AFTER}


def test_the_predictions_table_keeps_everything(written: Path) -> None:
    rows = pq.read_table(written / "predictions.parquet").to_pylist()
    assert [row["is_right"] for row in rows] == [True, False, False, None]
    assert rows[0]["landmark_id_before"] == "台北"
    assert rows[2]["landmark_id"] is rows[2]["confidence"] is None
    unknown = ("author", "license", "source_url", "latitude", "longitude")
    assert rows[3]["evidence"][0] == dict.fromkeys(unknown) | {
        "image_id": "g-<b>bold</b>",
        "landmark_id": "<b>bold</b>",
        "path": "<b>bold</b>.jpg",
        "similarity": 0.5,
        "penalty": 0.2,
    }


def test_what_people_read_stands_in_table_and_page(tmp_path: Path) -> None:
    """Links are links only where they lead to the web, and every text is escaped."""
    Image.new("RGB", (30, 20), "#336699").save(tmp_path / "tower.jpg")
    credited = Evidence(
        *("g", "tower", "tower.jpg", 0.8, 0.0),
        *("A <u>", "https://creativecommons.org/licenses/by-sa/3.0/", "https://a.example/?a=1&b=2"),
    )
    page = "https://w.example/wiki/Tower"
    tower = Landmark("tower", "The <Tower>", "tower & mast", "", 48.85837, 2.294481, page)
    wrong = Landmark("台北", "Taipei", url="javascript:alert(1)")
    told = [
        Prediction("q1", "tower", 0.9, (credited,), tower),
        Prediction("q2", "台北", 0.5, (_evidence("台北", 0.5),), wrong),
    ]
    truth = {"q1": {"tower"}, "q2": {"tower"}}
    picked = PickedImage("p", "tower", "tower.jpg", 7, 0.6, 0.4, Credit("Picked Author"))
    html = write_report(
        tmp_path / "r",
        report=evaluate(by_image(told), truth, num_resamples=0),
        predictions=told,
        truth=truth,
        query_paths={"q1": "tower.jpg", "q2": "tower.jpg"},
        photo_root=tmp_path,
        picked=[picked],
        credits={"tower.jpg": Credit("Query Author", "CC0", "ftp://no.example")},
    ).read_text(encoding="utf-8")
    assert "tower &amp; mast · 48.8584, 2.2945 · " in html
    assert f'<a href="{page}" rel="noopener noreferrer">about it</a>' in html
    assert "javascript:" not in html
    assert 'href="ftp' not in html
    assert (
        '<a href="https://a.example/?a=1&amp;b=2" rel="noopener noreferrer">A &lt;u&gt;</a>' in html
    )
    assert ">CC BY-SA 3.0</a>" in html
    assert '<span class="credit">Query Author, CC0</span>' in html
    assert "Picked Author" in html
    assert "The &lt;Tower&gt;" in html
    rows = pq.read_table(tmp_path / "r" / "predictions.parquet").to_pylist()
    assert rows[0]["landmark_name"] == "The <Tower>"
    assert (rows[0]["category"], rows[0]["landmark_url"]) == ("tower & mast", page)
    assert (rows[0]["latitude"], rows[0]["longitude"]) == (48.85837, 2.294481)
    assert rows[0]["evidence"][0]["author"] == "A <u>"
    assert rows[1]["latitude"] is rows[1]["category"] is None


def test_nothing_is_fetched_from_anywhere(page: str) -> None:
    assert not re.search(r"https?:|//[a-z]|<script|@import|<iframe", page)
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert sources
    assert all(source.startswith(("data:", "#")) for source in sources)


class _Outline(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.headings: list[int] = []
        self.images: list[dict[str, str | None]] = []
        self.ids: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if re.fullmatch(r"h\d", tag):
            self.headings.append(int(tag[1]))
        if tag == "img":
            self.images.append(given)
        if given.get("id"):
            self.ids.append(str(given["id"]))
        if tag in ("section", "ul", "li", "figure", "div", "table", "main"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in ("section", "ul", "li", "figure", "div", "table", "main"):
            assert self.open.pop() == tag


def require_sound(page: str) -> None:
    """A page is well formed, described and self-contained."""
    assert not re.search(r"<script|@import|<iframe", page)
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert all(source.startswith(("data:", "#")) for source in sources)
    outline = _Outline()
    outline.feed(page)
    assert outline.open == []
    assert outline.headings[0] == 1
    assert outline.headings.count(1) == 1
    steps = zip(outline.headings, outline.headings[1:], strict=False)
    assert all(later <= earlier + 1 for earlier, later in steps)
    assert all(image["alt"] for image in outline.images)
    assert len(outline.ids) == len(set(outline.ids))
    assert '<html lang="en">' in page
    assert all(f'id="{link}"' in page for link in re.findall(r'href="#([\w-]+)"', page))


def test_the_page_is_well_formed_and_accessible(page: str) -> None:
    require_sound(page)


def test_texts_are_escaped_and_names_shown(page: str) -> None:
    assert "A &lt;report&gt;" in page
    assert "<b>bold</b>" not in page
    assert "Taipei 101 &amp; friends" in page


def test_an_unreadable_photograph_says_why(page: str) -> None:
    assert "query photograph q2: not an image" in page
    assert "broken.jpg (not an image)" in page
    assert "query photograph n1: no path recorded" in page


def test_the_penalty_and_the_picks_are_shown(page: str) -> None:
    assert "<b>0.300</b> = 0.500 − 0.200" in page
    assert "7 picks, similarity 0.610, penalty 0.420" in page
    assert "0 picks" not in page


def test_plots_take_their_colours_from_the_page(page: str) -> None:
    plots = re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL)
    assert len(plots) == 7
    for plot in plots:
        colours = set(re.findall(r"#[0-9a-f]{6}\b", plot))
        assert colours <= {"#ffffff", "#000000"}, colours
        assert "var(--ink)" in plot
    assert any("M = 3" in plot for plot in plots)


def test_results_are_never_overwritten(written: Path) -> None:
    report = evaluate(by_image(AFTER), TRUTH, num_resamples=0)
    with pytest.raises(CairnError, match="never overwritten"):
        write_report(written, report=report, predictions=AFTER, truth=TRUTH)


def test_the_least_that_can_be_given_still_makes_a_page(tmp_path: Path) -> None:
    truth = {"q1": frozenset({"tower"})}
    report = evaluate({}, truth, num_resamples=0)
    path = write_report(
        tmp_path / "r", report=report, predictions=[Prediction("q1", None, 0.0)], truth=truth
    )
    text = path.read_text(encoding="utf-8")
    assert "0 of 1 landmark photographs were recognized" in text
    assert "95%: " not in text


def test_without_any_photograph_there_are_no_empty_boxes(tmp_path: Path) -> None:
    told = [Prediction("q1", "tower", 0.5)]
    report = evaluate(by_image(told), {"q1": {"tower"}}, num_resamples=0)
    path = write_report(tmp_path / "r", report=report, predictions=told, truth={"q1": {"tower"}})
    text = path.read_text(encoding="utf-8")
    assert "tower" in text
    assert "no path recorded" not in text


def test_cases_follow_their_rules() -> None:
    cases = choose(AFTER, TRUTH, before=BEFORE, counts=COUNTS)
    assert [one.prediction.image_id for one in cases.hits] == ["q1"]
    assert [one.prediction.image_id for one in cases.misses] == ["q2"]
    assert [one.prediction.image_id for one in cases.false_alarms] == ["n1"]
    assert [one.prediction.image_id for one in cases.mended] == ["q1"]
    assert [one.prediction.image_id for one in cases.broken] == ["q2"]


def test_rare_landmarks_and_variety_come_first() -> None:
    truth = {f"q{i}": frozenset({"big" if i < 5 else "small"}) for i in range(7)}
    told = [
        Prediction(query, min(shown), 1 - i / 10) for i, (query, shown) in enumerate(truth.items())
    ]
    cases = choose(told, truth, counts={"big": 90, "small": 2}, limit=3)
    assert [one.prediction.image_id for one in cases.hits] == ["q5", "q6", "q0"]


def test_thumbnails_are_small_and_panoramas_cut(tmp_path: Path) -> None:
    Image.new("RGB", (4000, 1000), "red").save(tmp_path / "wide.jpg")
    html, ratio = Thumbnails(tmp_path).element("wide.jpg", alt='a "wide" one')
    assert ratio == pytest.approx(1.8, abs=0.02)
    assert 'height="220"' in html
    Image.new("RGB", (1, 900), "red").save(tmp_path / "line.png")
    assert Thumbnails(tmp_path).element("line.png", alt="a line")[1] == pytest.approx(0.5)
    assert "a &quot;wide&quot; one" in html
    assert len(html) < 10_000


def test_picks_cannot_be_negative() -> None:
    with pytest.raises(CairnError, match="negative"):
        PickedImage("a", "b", "c", -1, 0.0, 0.0)


JUDGED = [
    Prediction(
        "q1", "tower", 0.8, (_evidence("tower", 0.8), _evidence("台北", 0.5)), None, 0.9, True
    ),
    Prediction(
        "q2",
        "tower",
        0.6,
        (_evidence("tower", 0.6), _evidence("台北", 0.55, 0.05)),
        None,
        0.7,
        True,
    ),
    Prediction("q3", "tower", 0.3, (), None, 0.2, False),
    Prediction("n1", "台北", 0.4, (), None, 0.3, False),
]


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("judged") / "evaluation"
    report = evaluate(by_image(JUDGED), TRUTH, gallery_counts=COUNTS, num_resamples=20)
    write_report(
        folder,
        report=report,
        predictions=JUDGED,
        truth=TRUTH,
        query_paths={"q2": "gone.jpg"},
        gallery_counts=COUNTS,
        landmarks={"tower": Landmark("tower", "Tower", "tower"), "台北": Landmark("台北")},
    )
    return folder


def test_a_page_with_verdicts_says_what_is_answered(judged: Path) -> None:
    page = (judged / "report.html").read_text(encoding="utf-8")
    require_sound(page)
    assert (
        "At a chance of 0.700 or more, 2 of 4 photographs get an answer: 1 right, 1 wrong" in page
    )
    assert "Do chances come true" in page
    assert "Scores by category" in page
    assert "category not known" in page
    assert '<span class="verdict none">answered</span>' in page
    assert '<span class="verdict none">held back</span>' in page
    value = json.loads((judged / "report.json").read_text(encoding="utf-8"))
    assert value["decision"]["source"] == "calibration"
    assert value["reliability"]["num_answers"] == 4
    assert (judged / "plots" / "reliability.svg").is_file()


def test_a_mistake_says_where_the_right_one_stood(judged: Path) -> None:
    page = (judged / "report.html").read_text(encoding="utf-8")
    assert "Its best photograph came at place 2 with 0.500, 0.100 behind." in page
    assert "best right one, place 2" in page


def test_a_pair_is_told_with_counts_and_names(judged: Path) -> None:
    page = (judged / "report.html").read_text(encoding="utf-8")
    assert "1 of 1 of 台北 answered as Tower (100%)." in page
    assert "0 of 2 of Tower answered as 台北 (0%)." in page


def test_a_folder_reads_back_as_answers_and_as_a_run(judged: Path) -> None:
    back = {one.image_id: one for one in read_answers(judged / "predictions.parquet")}
    assert back["q1"].evidence == JUDGED[0].evidence
    assert (back["q1"].probability, back["q3"].is_known) == (0.9, False)
    run = read_run(judged)
    assert run.truth == TRUTH
    assert run.counts == COUNTS
    assert run.with_evidence(["q2"])["q2"].evidence == JUDGED[1].evidence


@pytest.mark.parametrize(("by", "at"), [("chance", 0.7), ("score", 0.45)])
def test_the_threshold_is_drawn_where_it_is(by: str, at: float) -> None:
    said = JUDGED
    if by == "score":
        said = [Prediction(one.image_id, one.landmark_id, one.confidence) for one in JUDGED]
    outcomes = Outcomes.of(said, TRUTH, COUNTS)
    decision = decide(outcomes)
    if by == "score":
        assert decision is None  # one unknown query tells nothing
        decision = Decision(at, "score", "queries", 0.2, 2, 0, 0, 1, 0, 1)
    with drawing():
        (axes,) = kinds_with_threshold(outcomes, decision).axes
    (line,) = axes.lines
    assert np.asarray(line.get_xdata()).tolist() == [at, at]
    assert any(f"{at:.3f}" in text.get_text() for text in axes.texts)


def test_plots_are_files_for_a_paper_too(judged: Path) -> None:
    for path in (judged / "plots").iterdir():
        if path.suffix == ".png":
            with Image.open(path) as picture:
                assert picture.width > 600
        else:
            text = path.read_text(encoding="utf-8")
            assert 'xmlns="http://www.w3.org/2000/svg"' in text
            assert "var(--" not in text
