"""Tables of records, as reStructuredText."""

import statistics
import string
from collections import Counter, defaultdict

from datasets import TABLES
from methods import METHODS
from records import order

COLUMNS = ("Seeds", "ACC", "Worst ACC", "NMI", "ARI", "Seconds", "MB")


def make_tables(records):
    """Return the tables, as reStructuredText."""
    if not records:
        return ""
    grouped = defaultdict(lambda: defaultdict(list))
    for record in sorted(records, key=order):
        grouped[record["dataset"]][record["method"]].append(record)
    return "\n".join(
        [
            ".. Written by benchmarks/quality.py; do not edit.",
            "",
            "Mean ± standard deviation over the seeds, the worst ACC among them, and "
            "the median",
            "CPU seconds of a fit. MB is the most memory that the process held during "
            "a fit, its libraries",
            "and data included; older records lack it. Baselines that learn an "
            "embedding have our",
            'network, and as many steps as stage 0 of "graph".',
            "",
            *setting(records),
            *_mean_table(grouped),
            *_quality_tables(grouped, letters(records)),
            *_ablation_table(grouped, letters(records)),
            *_held_out_table(grouped),
        ]
    )


def setting(records, *, seconds=True):
    """Say on what the records were made; several machines are told apart by letters.

    Without `seconds` in the table the letters have no place there.
    """
    count = Counter(map(_host, records))
    if len(count) == 1:
        return [*count, ""]
    head, marks = "The fits were made on:", dict.fromkeys(count, "")
    if seconds:
        head = "The letter after the seconds is that of the machine:"
        marks = {text: f"{letter}: " for text, letter in letters(records).items()}
    lines = [f"* {marks[text]}{text} ({n} fits)" for text, n in count.most_common()]
    return [head, "", *lines, ""]


def letters(records):
    """Return a letter for each machine, the one with the most records first."""
    hosts = [text for text, _ in Counter(map(_host, records)).most_common()]
    if len(hosts) == 1:
        return {hosts[0]: ""}
    return dict(zip(hosts, string.ascii_lowercase, strict=False))


def _host(record):
    threads = record["torch_threads"]
    versions = [f"{name} {number}" for name, number in record["versions"].items()]
    return (
        f"{record['machine']['processor']}, {threads} thread{'s' * (threads > 1)}; "
        + ", ".join(versions)
    )


def _quality_tables(grouped, marks):
    for name, by_method in grouped.items():
        rows = [
            (METHODS[method].label, runs)
            for method, runs in by_method.items()
            if not (METHODS[method].ablation or METHODS[method].held_out)
        ]
        if rows:
            first = rows[0][1][0]
            shape = " x ".join(map(str, first["shape"]))
            yield from csv_table(
                f"{name}: {first['n_samples']:,} samples of {shape}, "
                f"{first['n_clusters']} clusters",
                ["Method", *COLUMNS],
                [(label, *cells(runs, marks)) for label, runs in rows],
            )


def _mean_table(grouped):
    """Yield the means over the tables, of the methods that are measured on all."""
    runs = [grouped[name] for name in TABLES if name in grouped]
    if len(runs) < len(TABLES):
        return
    rows = []
    for method in runs[0]:
        if METHODS[method].ablation or not all(
            method in by_method for by_method in runs
        ):
            continue
        means = [
            statistics.mean(
                statistics.mean(record[score] for record in by_method[method])
                for by_method in runs
            )
            for score in ("acc", "nmi", "ari")
        ]
        # What takes less than what is recorded counts as half of that.
        seconds = statistics.geometric_mean(
            max(statistics.median(r["seconds"] for r in by_method[method]), 0.005)
            for by_method in runs
        )
        cells = [*(f"{mean:.3f}" for mean in means), f"{seconds:.2f}"]
        rows.append((METHODS[method].label, *cells))
    yield from csv_table(
        "Means over the twelve tables and embeddings, geometric for the seconds",
        ["Method", "ACC", "NMI", "ARI", "Seconds"],
        rows,
    )


def _ablation_table(grouped, marks):
    rows = []
    for name, by_method in grouped.items():
        if any(METHODS[method].ablation for method in by_method):
            for method, runs in by_method.items():
                if METHODS[method].ablation or method in ("ours", "graph"):
                    label = METHODS[method].label
                    rows.append((name, label, *cells(runs, marks)))
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
    yield from csv_table(
        "Ablation",
        ["Data set", "Method", *COLUMNS],
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
                        spread([run["acc"] for run in runs]),
                        spread(held_out),
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
    yield from csv_table(
        "Held-out samples",
        ["Data set", "Method", "Seeds", "ACC fitted", "ACC held out", "Worst held out"],
        rows,
    )


def cells(runs, marks):
    """Return what a table says of some runs, with the `letters` of their machines."""
    acc = [run["acc"] for run in runs]
    return (
        str(len(runs)),
        spread(acc),
        f"{min(acc):.3f}",
        spread([run["nmi"] for run in runs]),
        spread([run["ari"] for run in runs]),
        duration(runs, marks),
        memory(runs),
    )


def duration(runs, marks):
    """Return the median of the seconds, with the `letters` of the machines."""
    machines = "".join(sorted({marks[_host(run)] for run in runs}))
    seconds = statistics.median(run["seconds"] for run in runs)
    return f"{seconds:.1f} {machines}".rstrip()


def memory(runs):
    """Return the median of those that were measured, an empty cell if none was."""
    known = [run["megabytes"] for run in runs if run.get("megabytes")]
    return f"{statistics.median(known):,.0f}" if known else ""


def spread(values):
    mean = f"{statistics.mean(values):.3f}"
    return mean if len(values) < 2 else f"{mean} ± {statistics.stdev(values):.3f}"


def csv_table(title, header, rows):
    yield f".. csv-table:: {title}"
    yield "   :header-rows: 1"
    yield "   :class: numbers"
    yield ""
    for row in [header, *rows]:
        yield "   " + ", ".join(f'"{cell}"' for cell in row)
    yield ""
