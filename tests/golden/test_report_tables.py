"""The tables of a small report, to the letter."""

from cairn.domain import Landmark, Prediction
from cairn.evaluate import evaluate
from cairn.metrics import rank
from cairn.report.analysis import analyse
from cairn.report.paper import all_tables
from cairn.report.tables import markdown_of
from cairn.submission import by_image

TRUTH = {
    "a": frozenset({"tower"}),
    "b": frozenset({"tower"}),
    "c": frozenset({"bridge"}),
    "d": frozenset[str](),
}
SAID = [
    Prediction("a", "tower", 0.9, probability=0.95, is_known=True),
    Prediction("b", "bridge", 0.8, probability=0.7, is_known=True),
    Prediction("c", "bridge", 0.4, probability=0.4, is_known=False),
    Prediction("d", "tower", 0.2, probability=0.1, is_known=False),
]
COUNTS = {"tower": 3, "bridge": 1}

WANTED = """**Scores**

| Score | Value | 95% interval |
| --- | ---: | ---: |
| GAP | 0.556 | – |
| GAP− | 0.556 | – |
| Top-1 accuracy | 0.667 | – |
| AUROC | 1.000 | – |

4 queries, 3 of them with a landmark.

**What gets answered**

| Photographs | Queries | Answered right | Answered wrong | Held back |
| --- | ---: | ---: | ---: | ---: |
| Known landmark | 3 | 1 (33.3%) | 1 (33.3%) | 1 (33.3%) |
| Unknown | 1 | – | 0 (0.0%) | 1 (100.0%) |
| All | 4 | 1 (25.0%) | 1 (25.0%) | 2 (50.0%) |

Of the 1 known ones held back, 1 would have been answered rightly.

**Scores by size of landmark**

| Gallery photographs | Landmarks | Queries | Top-1 accuracy | GAP | AUROC | Answered right | Held back |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
| 1 | 1 | 1 | 1.000 | 0.667 | 1.000 | 0.0% (0.0%–79.3%) | 100.0% |
| 3–5 | 1 | 2 | 0.500 | 0.500 | 1.000 | 50.0% (9.5%–90.5%) | 0.0% |

**What can be answered at a share of errors**

| Wrong at most | Answered | Chance from |
| --- | ---: | ---: |
| 1% | 25.0% | 0.950 |
| 2% | 25.0% | 0.950 |
| 5% | 25.0% | 0.950 |
| 10% | 25.0% | 0.950 |
| 20% | 25.0% | 0.950 |

**Scores by category**

| Category | Landmarks | Queries | Top-1 accuracy | GAP |
| --- | ---: | ---: | ---: | ---: |
| towers | 1 | 2 | 50.0% (9.5%–90.5%) | 0.500 |
| category not known | 1 | 1 | 100.0% (20.7%–100.0%) | 0.667 |

**Landmarks taken for one another**

| Landmarks A ↔ B | A answered as B | B answered as A |
| --- | ---: | ---: |
| tower ↔ bridge | 1 of 2 (50%) | 0 of 1 (0%) |
"""  # noqa: E501


def test_the_tables_of_a_report() -> None:
    report = evaluate(by_image(SAID), TRUTH, gallery_counts=COUNTS, num_resamples=0)
    landmarks = {"tower": Landmark("tower", category="towers")}
    ranking = rank(by_image(SAID), TRUTH)
    found = analyse(SAID, TRUTH, ranking, counts=COUNTS, landmarks=landmarks)
    assert markdown_of(all_tables(report, found, str, num_pairs=5)) == WANTED
