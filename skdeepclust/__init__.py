"""Deep clustering by contrastive learning, as scikit-learn estimators."""

from skdeepclust._self_paced import (
    LITERAL_PARAMETERS,
    SelfPacedContrastiveClustering,
)

__version__ = "0.1.0"

__all__ = ["LITERAL_PARAMETERS", "SelfPacedContrastiveClustering"]
