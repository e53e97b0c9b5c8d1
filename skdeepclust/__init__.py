"""Deep clustering by contrastive learning, as scikit-learn estimators."""

from skdeepclust._graph_contrastive import GraphContrastiveClustering
from skdeepclust._recipes import LITERAL_GRAPH_PARAMETERS, LITERAL_PARAMETERS
from skdeepclust._self_paced import SelfPacedContrastiveClustering
from skdeepclust._state import load
from skdeepclust._subspace import DeepSubspaceClustering
from skdeepclust._version import __version__ as __version__

__all__ = [
    "LITERAL_GRAPH_PARAMETERS",
    "LITERAL_PARAMETERS",
    "DeepSubspaceClustering",
    "GraphContrastiveClustering",
    "SelfPacedContrastiveClustering",
    "load",
]
