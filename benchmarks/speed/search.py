"""What `memory=` saves in a search: CPU seconds with it and without, and the scores.

A `GridSearchCV` over parameters of later stages, 12 candidates and 3 folds, on the
bundled digits::

    python -m benchmarks search
"""

import tempfile
import time
import warnings

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, KFold
from threadpoolctl import threadpool_limits

from benchmarks.common import tables
from benchmarks.common.data import load_dataset
from benchmarks.common.methods import METHODS
from benchmarks.common.records import Command, made_on

GRIDS = {
    "ours": {
        "temperature": [0.3, 0.5, 1.0],
        "positive_threshold": [0.7, 0.8],
        "consistency_weight": [0.3, 0.7],
    },
    "graph": {
        "n_neighbors": [5, 10, 15],
        "instance_temperature": [0.3, 0.5],
        "balance_weight": [0.5, 1.0],
    },
}
FOLDS = KFold(3, shuffle=True, random_state=0)


def run_record(data, method, memory):
    """Search once, and return seconds and scores."""
    estimator = METHODS[method].estimator(data.n_clusters, 0, {"memory": memory})
    search = GridSearchCV(estimator, GRIDS[method], cv=FOLDS, refit=False)
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        search.fit(data.X)
    results = search.cv_results_
    splits = [results[f"split{fold}_test_score"] for fold in range(FOLDS.n_splits)]
    return {
        "dataset": data.name,
        "method": method,
        "memory": memory is not None,
        "seconds": round(time.process_time() - start, 1),
        "fits": int(np.size(splits)),
        "scores": np.ravel(splits).tolist(),
        **made_on(),
    }


def make_tables(records):
    """Return the table, as lines of reStructuredText."""
    rows = []
    for method, runs in tables.grouped(records, "method").items():
        without, with_it = sorted(runs, key=lambda record: record["memory"])
        rows.append(
            (
                METHODS[method].label,
                str(without["fits"]),
                f"{without['seconds']:.0f}",
                f"{with_it['seconds']:.0f}",
                f"{with_it['seconds'] / without['seconds']:.2f}",
                "yes" if without["scores"] == with_it["scores"] else "no",
            )
        )
    header = ["Estimator", "Fits", "Seconds without", "Seconds with", "Share"]
    return [
        *tables.setting(records, seconds=False),
        *tables.csv_table(
            "CPU seconds of a search on digits, without memory= and with it",
            [*header, "Same scores"],
            rows,
        ),
    ]


COMMAND = Command("search", __doc__, ("dataset", "method", "memory"), make_tables)


def main(arguments=None):
    """Run the command."""
    options = COMMAND.parser().parse_args(arguments)
    if not options.table_only:
        data = load_dataset("digits")
        torch.set_num_threads(1)
        for method in GRIDS:
            with threadpool_limits(1), tempfile.TemporaryDirectory() as folder:
                for memory in (None, folder):
                    record = run_record(data, method, memory)
                    COMMAND.put(options, [record])
                    print(method, record["memory"], record["seconds"], flush=True)
    COMMAND.write(options)
