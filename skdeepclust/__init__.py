"""Deep clustering by contrastive learning, as scikit-learn estimators."""

from skdeepclust._recipes import LITERAL_GRAPH_PARAMETERS, LITERAL_PARAMETERS
from skdeepclust._version import __version__ as __version__
from skdeepclust.graph_contrastive import GraphContrastiveClustering
from skdeepclust.self_paced import SelfPacedContrastiveClustering
from skdeepclust.subspace import DeepSubspaceClustering

__all__ = [
    "LITERAL_GRAPH_PARAMETERS",
    "LITERAL_PARAMETERS",
    "DeepSubspaceClustering",
    "GraphContrastiveClustering",
    "SelfPacedContrastiveClustering",
]
