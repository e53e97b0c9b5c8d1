"""Pictures of a clustering, after scikit-learn's displays; the extra ``plot``.

Each display stores what it draws. ``from_estimator``, ``from_predictions`` and
``from_history`` make one and draw it; ``plot`` draws it again, on other axes. No class
is needed for a picture, and matplotlib is imported when the first one is drawn.
"""

from ._affinity import AffinityDisplay
from ._embedding import EmbeddingDisplay
from ._images import ClusterImagesDisplay
from ._training import TrainingCurveDisplay

__all__ = [
    "AffinityDisplay",
    "ClusterImagesDisplay",
    "EmbeddingDisplay",
    "TrainingCurveDisplay",
]
