"""README.rst says what the defaults reach on data that are at hand: they do."""

import csv
import re
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from skdeepclust import GraphContrastiveClustering, SelfPacedContrastiveClustering
from skdeepclust.metrics import clustering_accuracy

# What is run here is measured by other tests; measuring would take longer.
pytestmark = pytest.mark.no_cover

ROOT = Path(__file__).resolve().parents[1]
README, QUALITY = ROOT / "README.rst", ROOT / "doc" / "_generated" / "quality.rst"
ESTIMATORS = {
    "self-paced": SelfPacedContrastiveClustering,
    "graph": GraphContrastiveClustering,
}
SEEDS = range(3)
TOLERANCE = 0.01


def tables(path):
    """Yield the title and the rows of every csv-table, by the names of its columns."""
    text = path.read_text(encoding="utf-8")
    pattern = r"^\.\. csv-table::(.*)\n(?:   :.*\n)*\n((?:   \".*\n)+)"
    for title, body in re.findall(pattern, text, re.MULTILINE):
        lines = [line.strip() for line in body.splitlines()]
        yield title.strip(), [*csv.DictReader(lines, skipinitialspace=True)]


def readme_claims():
    """Return the mean ACC of each method on the digits, and the worst."""
    (row,) = (
        row
        for _, rows in tables(README)
        for row in rows
        if row.get("Data", "").startswith("digits, 1,797 images")
    )
    return {
        method: tuple(
            map(float, re.fullmatch(r"(\S+) \((\S+)\)", row[method]).groups())
        )
        for method in ESTIMATORS
    }


def test_readme_claims_what_the_benchmark_has_measured():
    (rows,) = (
        rows for title, rows in tables(QUALITY) if title.startswith("digits: 1,797")
    )
    measured = {row["Method"]: row for row in rows}
    for method, (mean, worst) in readme_claims().items():
        assert int(measured[method]["Seeds"]) >= len(SEEDS)
        assert float(measured[method]["ACC"].split(" ± ")[0]) == mean
        assert float(measured[method]["Worst ACC"]) == worst


@pytest.mark.slow
@pytest.mark.parametrize("method", ESTIMATORS)
def test_defaults_reach_what_readme_claims(method):
    digits = load_digits()
    scores = [
        clustering_accuracy(
            digits.target,
            ESTIMATORS[method](10, random_state=seed).fit_predict(digits.images),
        )
        for seed in SEEDS
    ]
    mean, _ = readme_claims()[method]
    assert abs(np.mean(scores) - mean) <= TOLERANCE, scores
