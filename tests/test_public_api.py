import ast
import inspect
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_docstrings import GROUPS

import skdeepclust
from skdeepclust import display, features, graph, losses, metrics, model_selection

PACKAGE = Path(skdeepclust.__file__).parent


MODULES = (skdeepclust, display, features, graph, losses, metrics, model_selection)


def test_all_names_exist():
    for module in MODULES:
        # Constants, then classes, then functions.
        order = sorted(module.__all__, key=lambda name: (not name.isupper(), name))
        assert module.__all__ == order
        for name in module.__all__:
            assert hasattr(module, name)


def test_public_losses_keep_their_signatures():
    expected = {
        "view_consistency": "(h, h_view)",
        "student_t_assignment": "(h, centers, degrees_of_freedom=1.0)",
        "gaussian_assignment": "(h, centers, scale=None)",
        "weighted_center_loss": "(h, centers, assignment)",
        "weighted_centers": "(h_view, assignment)",
        "pair_contrastive": "(z, similarity, *, temperature=0.5, "
        "positive_threshold=0.8, negative_threshold=0.2)",
        "neighbor_contrastive": "(h, neighbors, *, temperature=0.5)",
        "cluster_contrastive": "(y, y_neighbor, *, temperature=1.0)",
        "cluster_balance": "(y, sizes=None)",
        "self_expression": "(z, coefficients, *, weight=1.0, norm='fro2')",
        "reconstruction": "(x, x_hat)",
        "nt_xent": "(z_i, z_j, *, temperature=0.5)",
    }
    for name, signature in expected.items():
        found = inspect.signature(getattr(losses, name))
        bare = found.replace(
            parameters=[
                parameter.replace(annotation=inspect.Parameter.empty)
                for parameter in found.parameters.values()
            ],
            return_annotation=inspect.Signature.empty,
        )
        assert str(bare) == signature


ESTIMATORS = [
    skdeepclust.DeepSubspaceClustering,
    skdeepclust.GraphContrastiveClustering,
    skdeepclust.SelfPacedContrastiveClustering,
]


def test_literal_parameters_are_parameters():
    known = skdeepclust.SelfPacedContrastiveClustering().get_params()
    assert set(skdeepclust.LITERAL_PARAMETERS) <= set(known)
    known = skdeepclust.GraphContrastiveClustering().get_params()
    assert set(skdeepclust.LITERAL_GRAPH_PARAMETERS) <= set(known)


@pytest.mark.parametrize("estimator_class", ESTIMATORS)
def test_every_parameter_is_constrained_and_documented(estimator_class):
    section = estimator_class.__doc__.split("Attributes\n")[0]
    documented = re.findall(r"^    (\w+) : ", section, re.MULTILINE)
    assert sorted(documented) == sorted(inspect.signature(estimator_class).parameters)
    titles = re.findall(r"^    \**([A-Z][a-z ]+)\**$", section, re.MULTILINE)
    assert titles == ["Parameters", *GROUPS]
    for name in documented:
        estimator = estimator_class(**{name: object()})
        with pytest.raises(ValueError, match=f"The {name!r} parameter of"):
            estimator.fit(np.eye(9))


def test_only_compat_touches_private_scikit_learn():
    for path in PACKAGE.rglob("*.py"):
        if path == PACKAGE / "_utils" / "compat.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
                "sklearn"
            ):
                parts = node.module.split(".") + [alias.name for alias in node.names]
                assert not [part for part in parts if part.startswith("_")], path


@pytest.mark.parametrize("make", ["tiny", "tiny_graph", "tiny_subspace"])
def test_fitted_attributes_are_documented_and_exist(request, images, make):
    model = request.getfixturevalue(make)(image_shape=(8, 8), pretrain_epochs=1)
    frame = pd.DataFrame(images[0].reshape(len(images[0]), -1)).add_prefix("pixel")
    model.fit(frame.astype(np.float32))
    fitted = {n for n in vars(model) if n.endswith("_") and not n.startswith("_")}
    section = type(model).__doc__.split("Attributes\n")[1].split("Notes\n")[0]
    documented = {
        line.strip().split(" : ")[0] for line in section.splitlines() if " : " in line
    }
    assert fitted == documented
