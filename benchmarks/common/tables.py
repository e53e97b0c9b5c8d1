"""Tables of records, as reStructuredText."""

import statistics
import string
from collections import Counter
from contextlib import contextmanager

COLUMNS = ("Seeds", "ACC", "Worst ACC", "NMI", "ARI", "Seconds", "MB")
SCORES = ("acc", "nmi", "ari")


def csv_table(title, header, rows):
    yield f".. csv-table:: {title}"
    yield "   :header-rows: 1"
    yield "   :class: numbers"
    yield ""
    for row in [header, *rows]:
        yield "   " + ", ".join(f'"{cell}"' for cell in row)
    yield ""


def grouped(records, *names):
    """Return the records by the values of some fields, in the order they come in."""
    groups = {}
    for record in records:
        value = tuple(record[name] for name in names)
        groups.setdefault(value if len(names) > 1 else value[0], []).append(record)
    return groups


# --------------------------------------------------------------------------- machines


def setting(records, *, seconds=True):
    """Say on what the records were made; several machines are told apart by letters.

    Without `seconds` in the table the letters have no place there.
    """
    count = Counter(map(host, records))
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
    hosts = [text for text, _ in Counter(map(host, records)).most_common()]
    if len(hosts) == 1:
        return {hosts[0]: ""}
    return dict(zip(hosts, string.ascii_lowercase, strict=False))


def host(record):
    """Say on what a record was made."""
    threads = record["torch_threads"]
    versions = [f"{name} {number}" for name, number in record["versions"].items()]
    return (
        f"{record['machine']['processor']}, {threads} thread{'s' * (threads > 1)}; "
        + ", ".join(versions)
    )


# ------------------------------------------------------------------------------ cells


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


def means(groups, decimals):
    """Return the means over data sets of the mean scores, and the geometric mean of
    the median seconds; each of `groups` are the runs of a data set."""
    found = [
        statistics.mean(statistics.mean(run[score] for run in runs) for runs in groups)
        for score in SCORES
    ]
    # Less than what is recorded counts as half of that.
    seconds = statistics.geometric_mean(
        max(statistics.median(run["seconds"] for run in runs), 0.005) for runs in groups
    )
    return (*(f"{mean:.3f}" for mean in found), f"{seconds:.{decimals}f}")


def duration(runs, marks):
    """Return the median of the seconds, with the `letters` of the machines."""
    machines = "".join(sorted({marks[host(run)] for run in runs}))
    seconds = statistics.median(run["seconds"] for run in runs)
    return f"{seconds:.1f} {machines}".rstrip()


def memory(runs):
    """Return the median of those that were measured, an empty cell if none was."""
    known = [run["megabytes"] for run in runs if run.get("megabytes")]
    return f"{statistics.median(known):,.0f}" if known else ""


def spread(values):
    mean = f"{statistics.mean(values):.3f}"
    return mean if len(values) < 2 else f"{mean} ± {statistics.stdev(values):.3f}"


# ------------------------------------------------------------------------- pictures

# The palette of Okabe and Ito, which color-blind readers can tell apart.
COLORS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"]


@contextmanager
def picture(path, n_rows, n_columns, size):
    """Give rows of axes to draw into, and write the picture."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    width, height = size
    figure, axes = plt.subplots(
        n_rows,
        n_columns,
        figsize=(width * n_columns, height * n_rows),
        squeeze=False,
        layout="constrained",
    )
    yield axes
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)
