"""CPU seconds of a fit by stage, on one thread::

    python benchmarks/profile_stages.py --samples 2560 --epochs 1

Without ``--epochs`` the fit is the default one, compiled or in bfloat16 if asked, and
its ACC says something, too. "Between" is what comes before the first epoch of a stage,
graphs and spectral cuts for instance; what comes after the last is the line "end".
"""

import argparse
import time
import warnings

import torch
from datasets import LOADERS, load_dataset
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from skdeepclust import GraphContrastiveClustering, SelfPacedContrastiveClustering
from skdeepclust.metrics import clustering_accuracy
from skdeepclust.training import Observer

ESTIMATORS = {
    "graph": GraphContrastiveClustering,
    "self_paced": SelfPacedContrastiveClustering,
}


class StageTimes(Observer):
    """Notes the CPU time when stages begin and end."""

    def __init__(self):
        self.rows, self._last = [], time.process_time()

    def stage_begin(self, stage, n_epochs):
        self._start, self._epochs, self._name = (
            time.process_time(),
            n_epochs,
            stage.name,
        )

    def stage_end(self):
        between, end = self._start - self._last, time.process_time()
        self.rows.append((self._name, self._epochs, between, end - self._start))
        self._last = end

    def finish(self):
        self.rows.append(("end", 0, time.process_time() - self._last, 0.0))


def timed(estimator_class):
    """Make a class whose fits also tell a `StageTimes`."""

    class Timed(estimator_class):
        def _observers(self, *arguments):
            self._times = StageTimes()
            return [self._times, *super()._observers(*arguments)]

    return Timed


def profile(estimator_class, data, n_epochs, **parameters):
    """Fit once; return the rows, and ACC."""
    model = timed(estimator_class)(
        data.n_clusters, device="cpu", random_state=0, **parameters
    )
    if n_epochs is not None:
        names = model.get_params()
        changed = {n: n_epochs for n in names if n.endswith("_epochs") and names[n]}
        changed |= {n: 0 for n in names if n.startswith("min_") and n.endswith("steps")}
        model.set_params(**changed)
    model.fit(data.X)
    model._times.finish()
    return model._times.rows, clustering_accuracy(data.y, model.labels_)


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", choices=LOADERS, default="mnist_10k")
    parser.add_argument(
        "--estimators", nargs="+", choices=ESTIMATORS, default=[*ESTIMATORS]
    )
    parser.add_argument("--samples", type=int, help="take the first so many")
    parser.add_argument("--epochs", type=int, help="of each stage")
    parser.add_argument(
        "--precision", choices=["float32", "bfloat16"], default="float32"
    )
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args(arguments)
    data = load_dataset(options.dataset)
    data = data.part(slice(options.samples))
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        torch.set_num_threads(1)
        for name in options.estimators:
            print(f"{name}, {options.dataset}, n = {len(data.X):,}")
            print(f"{'stage':12}{'epochs':>8}{'between':>10}{'training':>10}")
            rows, acc = profile(
                ESTIMATORS[name],
                data,
                options.epochs,
                precision=options.precision,
                compile=options.compile,
            )
            for stage, epochs, between, training in rows:
                print(f"{stage:12}{epochs:8}{between:10.1f}{training:10.1f}")
            total = sum(between + training for _, _, between, training in rows)
            print(f"{'all':12}{total:28.1f}   ACC {acc:.3f}", flush=True)


if __name__ == "__main__":
    main()
