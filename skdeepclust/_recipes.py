"""Literal recipes: the thesis's own reading of its algorithms, as parameters."""

from typing import Any

LITERAL_PARAMETERS: dict[str, Any] = {
    # The thesis's own reading of algorithm 3.3, however badly it does.
    "pretraining": "reconstruction",
    "pretrain_epochs": 50,
    "hidden_layer_sizes": (500, 500, 1000),
    "resolution": None,
    "degrees_of_freedom": 1.0,
    "pretext_weight": 0.0,
    "balance_weight": 0.0,
    # 0.7 times the weight of the center loss, which is .05.
    "consistency_weight": 0.035,
    "center_epochs": 100,
    "center_update_interval": 2,
    "fine_tune_learning_rate": 1e-5,
    "head_epochs": 0,
    "pair_similarity": "cosine",
    "contrastive_epochs": 50,
    "pair_update_interval": 5,
    "batch_size": 256,
    "learning_rate": 3e-3,
}
"""Parameters of the literal recipe, for
``SelfPacedContrastiveClustering(**LITERAL_PARAMETERS)``."""

LITERAL_GRAPH_PARAMETERS: dict[str, Any] = {
    # The thesis's own reading of algorithm 4.3, for at most 5,000 samples.
    "augmentation": None,
    "pretraining": "reconstruction",
    "pretrain_epochs": 50,
    "hidden_layer_sizes": (500, 500, 1000),
    "graph": "learned",
    "graph_update_interval": 10,
    "head_epochs": 0,
    "joint_epochs": 150,
    "joint_learning_rate": 1e-4,
    "balance_weight": 0.0,
    "batch_size": 128,
    "learning_rate": 3e-3,
}
"""Parameters of the literal recipe, for
``GraphContrastiveClustering(**LITERAL_GRAPH_PARAMETERS)``."""
