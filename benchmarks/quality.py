"""Quality of the clusters: data set x method x seed, as JSON and as a table.

``make bench-quality`` runs everything that is not yet in ``benchmarks/results/quality.json``
and writes the tables of the documentation::

    make bench-quality BENCH_ARGS="--datasets digits --methods kmeans ours --seeds 0 1 2"

A record is written as soon as it is there, so an interrupted run goes on where it
stopped. A record counts as present when its data set, method and seed are the same and
the estimator's parameters have not changed since; ``--force`` runs it again.
"""

import argparse
import json
import os
import platform
import statistics
import time
from collections import defaultdict
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from datasets import LOADERS, ROOT, load_dataset
from methods import METHODS
from sklearn.metrics import adjusted_rand_score
from threadpoolctl import threadpool_limits

import skdeepclust
from skdeepclust.metrics import clustering_accuracy, normalized_mutual_info

RESULTS = ROOT / "benchmarks" / "results" / "quality.json"
TABLE = ROOT / "doc" / "_generated" / "quality.rst"
PACKAGES = ("torch", "scikit-learn", "numpy", "scipy")
MIN_HELD_OUT = 2_000

# ------------------------------------------------------------------------ records


def run_record(data, method_name, seed, overrides=None):
    """Fit one method once and return its record.

    `overrides` are parameters of our estimator, for quick trials. Seconds are those
    of the CPU, for the fit alone.
    """
    method = METHODS[method_name]
    rest = None
    n_samples = len(data.y)
    if method.held_out:
        data, rest = split(data, seed)
    estimator = method.estimator(data.n_clusters, seed, overrides)
    parameters = describe(estimator)
    start = time.process_time()
    labels = method.fit(data, estimator, seed)
    seconds = time.process_time() - start
    record = {
        "dataset": data.name,
        "method": method_name,
        "seed": seed,
        "acc": round(clustering_accuracy(data.y, labels), 4),
        "nmi": round(normalized_mutual_info(data.y, labels), 4),
        "ari": round(float(adjusted_rand_score(data.y, labels)), 4),
        "seconds": round(seconds, 2),
        "n_samples": n_samples,
        "shape": list(data.X.shape[1:]),
        "n_clusters": data.n_clusters,
        "n_clusters_found": len(np.unique(labels)),
        "parameters": parameters,
        "torch_threads": torch.get_num_threads(),
        "machine": machine(),
        "versions": {
            "python": platform.python_version(),
            "skdeepclust": skdeepclust.__version__,
            **{package: version(package) for package in PACKAGES},
        },
    }
    if rest is not None:
        accuracy = clustering_accuracy(rest.y, estimator.predict(rest.X))
        record["acc_held_out"] = round(accuracy, 4)
    return record


def split(data, seed):
    """Draw four fifths to fit on, and the fifth that is held out; no labels used."""
    order = np.random.default_rng(seed).permutation(len(data.y))
    n_held_out = len(order) // 5
    return data.part(order[n_held_out:]), data.part(order[:n_held_out])


def describe(estimator):
    """Return every parameter but the seed, as JSON can hold it."""
    if estimator is None:
        return {}
    parameters = estimator.get_params(deep=False)
    del parameters["random_state"]
    return json.loads(json.dumps(parameters, default=str))


def machine():
    """Return what is known of the processor."""
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                processor = line.partition(":")[2].strip()
                break
    return {
        "system": platform.system(),
        "processor": processor,
        "cpus": os.cpu_count(),
    }


def key(record):
    """Return what tells records apart."""
    return record["dataset"], record["method"], record["seed"]


def read_records(path):
    """Return the records of a file, none where there is no file."""
    return json.loads(path.read_text()) if path.is_file() else []


def write_atomically(path, text):
    """Replace a file in one step, so that it is never half-written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)


def write_records(path, records):
    """Write a JSON list with one record a line, in the order of the tables."""
    lines = [json.dumps(record) for record in sorted(records, key=_order)]
    write_atomically(path, "[\n" + ",\n".join(lines) + "\n]\n")


def add_record(path, record):
    """Put a record into the file, in the place of older ones that it supersedes.

    Those have the same key, or are of the same data set and method but with other
    parameters, which must not enter the same mean. The file is read again first, for
    another run may have written to it meanwhile.
    """
    others = [
        old
        for old in read_records(path)
        if key(old)[:2] != key(record)[:2]
        or (key(old) != key(record) and agree(old["parameters"], record["parameters"]))
    ]
    write_records(path, [*others, record])


def _order(record):
    datasets, methods = list(LOADERS), list(METHODS)
    return (
        datasets.index(record["dataset"]),
        methods.index(record["method"]),
        record["seed"],
    )


def agree(old, new):
    """Say whether parameters are the same; new ones may have come since, at defaults
    that change nothing."""
    if not old:
        return not new
    return {name: new.get(name) for name in old} == old


def is_current(record):
    """Say whether a record was made with the parameters that its method has today."""
    method = METHODS[record["method"]]
    today = describe(method.estimator(record["n_clusters"], 0))
    return agree(record["parameters"], today)


def is_present(records, wanted):
    """Say whether a current record with the key `wanted` is there."""
    return any(key(record) == wanted and is_current(record) for record in records)


def why_not(data, method):
    """Return why a method is not run on a data set; an empty string if it is."""
    if method.limit and len(data.y) > method.limit:
        return f"more than {method.limit:,} samples"
    if method.held_out and len(data.y) < MIN_HELD_OUT:
        return f"fewer than {MIN_HELD_OUT:,} samples"
    return ""


# ------------------------------------------------------------------------- tables


def make_tables(records):
    """Return the tables, as reStructuredText."""
    if not records:
        return ""
    grouped = defaultdict(lambda: defaultdict(list))
    for record in sorted(records, key=_order):
        grouped[record["dataset"]][record["method"]].append(record)
    return "\n".join(
        [
            ".. Written by benchmarks/quality.py; do not edit.",
            "",
            "Mean ± standard deviation over the seeds, the worst ACC among them, and "
            "the median",
            "CPU seconds of a fit. Baselines that learn an embedding have our network "
            "and the steps",
            "of our stage 0.",
            "",
            *_setting(records),
            *_quality_tables(grouped),
            *_ablation_table(grouped),
            *_held_out_table(grouped),
        ]
    )


def _setting(records):
    settings = defaultdict(int)
    for record in records:
        versions, host = record["versions"], record["machine"]
        threads = record["torch_threads"]
        settings[
            f"{host['processor']}, {threads} thread{'s' if threads > 1 else ''}; "
            + ", ".join(f"{name} {number}" for name, number in versions.items())
        ] += 1
    if len(settings) == 1:
        return [*settings, ""]
    return [*(f"* {text} ({n} fits)" for text, n in settings.items()), ""]


def _quality_tables(grouped):
    for name, by_method in grouped.items():
        rows = [
            (METHODS[method].label, runs)
            for method, runs in by_method.items()
            if not (METHODS[method].ablation or METHODS[method].held_out)
        ]
        if rows:
            first = rows[0][1][0]
            shape = " x ".join(map(str, first["shape"]))
            yield from _csv_table(
                f"{name}: {first['n_samples']:,} samples of {shape}, "
                f"{first['n_clusters']} clusters",
                ["Method", "Seeds", "ACC", "Worst ACC", "NMI", "ARI", "Seconds"],
                [(label, *_cells(runs)) for label, runs in rows],
            )


def _ablation_table(grouped):
    rows = []
    for name, by_method in grouped.items():
        if any(METHODS[method].ablation for method in by_method):
            for method, runs in by_method.items():
                if METHODS[method].ablation or method in ("ours", "graph"):
                    rows.append((name, METHODS[method].label, *_cells(runs)))
    if not rows:
        return
    yield from [
        "The ablations of the tables 3.4 and 4.5 of the thesis. "
        '"Centre loss alone" and',
        '"centre loss + view consistency" start from our pretraining '
        "and have in stage 1",
        "just these terms of eq. 3.5;",
        "neither NT-Xent nor the reconstruction takes part after it.",
        "",
    ]
    yield from _csv_table(
        "Ablation",
        ["Data set", "Method", "Seeds", "ACC", "Worst ACC", "NMI", "ARI", "Seconds"],
        rows,
    )


def _held_out_table(grouped):
    rows = []
    for name, by_method in grouped.items():
        for method, runs in by_method.items():
            if METHODS[method].held_out:
                held_out = [run["acc_held_out"] for run in runs]
                rows.append(
                    (
                        name,
                        METHODS[method].label.partition(",")[0],
                        str(len(runs)),
                        _spread([run["acc"] for run in runs]),
                        _spread(held_out),
                        f"{min(held_out):.3f}",
                    )
                )
    if not rows:
        return
    yield from [
        "Fitted on four fifths of the samples, and ``predict`` on the fifth that "
        "was held out.",
        "",
    ]
    yield from _csv_table(
        "Held-out samples",
        ["Data set", "Method", "Seeds", "ACC fitted", "ACC held out", "Worst held out"],
        rows,
    )


def _cells(runs):
    acc = [run["acc"] for run in runs]
    return (
        str(len(runs)),
        _spread(acc),
        f"{min(acc):.3f}",
        _spread([run["nmi"] for run in runs]),
        _spread([run["ari"] for run in runs]),
        f"{statistics.median(run['seconds'] for run in runs):.1f}",
    )


def _spread(values):
    mean = f"{statistics.mean(values):.3f}"
    return mean if len(values) < 2 else f"{mean} ± {statistics.stdev(values):.3f}"


def _csv_table(title, header, rows):
    yield f".. csv-table:: {title}"
    yield "   :header-rows: 1"
    yield ""
    for row in [header, *rows]:
        yield "   " + ", ".join(f'"{cell}"' for cell in row)
    yield ""


# ---------------------------------------------------------------------- the command


def parse_arguments(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    usual = [name for name, method in METHODS.items() if not method.held_out]
    parser.add_argument("--datasets", nargs="+", choices=LOADERS, default=[*LOADERS])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=usual)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--held-out",
        action="store_true",
        help="also fit both estimators on four fifths and predict the rest",
    )
    parser.add_argument("--force", action="store_true", help="run what is there again")
    parser.add_argument(
        "--table-only", action="store_true", help="write the table and run nothing"
    )
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--table", type=Path, default=TABLE)
    options = parser.parse_args(arguments)
    if options.held_out:
        held_out = [name for name, method in METHODS.items() if method.held_out]
        options.methods = [*dict.fromkeys([*options.methods, *held_out])]
    return options


def run_all(options):
    """Run whatever is asked for and not there."""
    for name in options.datasets:
        try:
            data = load_dataset(name)
        except FileNotFoundError as error:
            print(f"{name}: skipped, {error}", flush=True)
            continue
        for method_name in options.methods:
            reason = why_not(data, METHODS[method_name])
            if reason:
                print(f"{name} {method_name}: skipped, {reason}", flush=True)
                continue
            for seed in options.seeds:
                records = read_records(options.results)
                if not options.force and is_present(records, (name, method_name, seed)):
                    continue
                record = run_record(data, method_name, seed)
                add_record(options.results, record)
                held_out = record.get("acc_held_out")
                print(
                    f"{name} {method_name} seed {seed}: ACC {record['acc']:.3f} "
                    f"NMI {record['nmi']:.3f} ARI {record['ari']:.3f} "
                    + (f"held out {held_out:.3f} " if held_out is not None else "")
                    + f"{record['seconds']:.1f} s",
                    flush=True,
                )


def main(arguments=None):
    options = parse_arguments(arguments)
    if not options.table_only:
        torch.set_num_threads(options.threads)
        with threadpool_limits(options.threads):
            run_all(options)
    records = read_records(options.results)
    write_atomically(options.table, make_tables(records))
    stale = {key(record)[:2] for record in records if not is_current(record)}
    for name, method_name in sorted(stale):
        print(f"{name} {method_name}: in the table with parameters of an older version")


if __name__ == "__main__":
    main()
