"""The equations once more, slowly: NumPy in float64, a loop for each sum."""

import itertools
from math import exp, log, sqrt

import numpy as np


def cosine(a, b):
    dot = norm_a = norm_b = 0.0
    for x, y in zip(a, b, strict=True):
        dot += x * y
        norm_a += x * x
        norm_b += y * y
    return dot / sqrt(norm_a * norm_b) if norm_a * norm_b > 0 else 0.0


def squared_distance(a, b):
    total = 0.0
    for x, y in zip(a, b, strict=True):
        total += (x - y) ** 2
    return total


def view_consistency(h, h_view):
    total = 0.0
    for a, b in zip(h, h_view, strict=True):
        total += 1 - cosine(a, b)
    return total / len(h)


def student_t_assignment(h, centers, a=1.0):
    p = np.zeros((len(h), len(centers)))
    for i, row in enumerate(h):
        for k, center in enumerate(centers):
            p[i, k] = (1 + squared_distance(row, center) / a) ** (-(a + 1) / 2)
        p[i] /= sum(p[i])
    return p


def gaussian_scale(h, centers):
    total = 0.0
    for row in h:
        total += min(squared_distance(row, center) for center in centers)
    return sqrt(total / len(h) / len(h[0]))


def gaussian_assignment(h, centers, scale=None):
    if scale is None:
        scale = gaussian_scale(h, centers)
    p = np.zeros((len(h), len(centers)))
    for i, row in enumerate(h):
        for k, center in enumerate(centers):
            p[i, k] = exp(-squared_distance(row, center) / (2 * scale**2))
        p[i] /= sum(p[i])
    return p


def weighted_center_loss(h, centers, assignment):
    total = 0.0
    for i, row in enumerate(h):
        for k, center in enumerate(centers):
            total += assignment[i][k] * squared_distance(row, center)
    return total / len(h)


def weighted_centers(h, assignment):
    n_clusters = len(assignment[0])
    centers = np.zeros((n_clusters, len(h[0])))
    for k in range(n_clusters):
        weight = 0.0
        for i, row in enumerate(h):
            weight += assignment[i][k]
            centers[k] += assignment[i][k] * np.asarray(row)
        centers[k] /= weight
    return centers


def pair_contrastive(z, similarity, t=0.5, xi=0.8, gamma=0.2):
    losses = []
    for i in range(len(z)):
        others = [j for j in range(len(z)) if j != i]
        positive = [j for j in others if similarity[i][j] >= xi]
        negative = [j for j in others if similarity[i][j] <= gamma]
        if not positive or not negative:
            continue
        denominator = sum(exp(cosine(z[i], z[f]) / t) for f in negative)
        loss = 0.0
        for p in positive:
            loss -= log(exp(cosine(z[i], z[p]) / t) / denominator)
        losses.append(loss / len(positive))
    return sum(losses) / len(losses) if losses else 0.0


def reconstruction(x, x_hat):
    total = 0.0
    for a, b in zip(x, x_hat, strict=True):
        total += squared_distance(np.ravel(a), np.ravel(b))
    return total / len(x)


def nt_xent(z_i, z_j, t=0.5):
    z = [*z_i, *z_j]
    n = len(z_i)
    total = 0.0
    for i in range(2 * n):
        partner = (i + n) % (2 * n)
        denominator = sum(exp(cosine(z[i], z[k]) / t) for k in range(2 * n) if k != i)
        total -= log(exp(cosine(z[i], z[partner]) / t) / denominator)
    return total / (2 * n)


def neighbor_contrastive(h, neighbors, t=0.5):
    total = 0.0
    for i in range(len(h)):
        positive = [int(p) for p in neighbors[i]]
        negative = [j for j in range(len(h)) if j != i and j not in positive]
        denominator = sum(exp(cosine(h[i], h[f]) / t) for f in negative)
        loss = 0.0
        for p in positive:
            loss -= log(exp(cosine(h[i], h[p]) / t) / denominator)
        total += loss / len(positive)
    return total / len(h)


def cluster_contrastive(y, y_neighbor, t=1.0):
    columns, others = list(zip(*y, strict=True)), list(zip(*y_neighbor, strict=True))
    total = 0.0
    for column, partner in zip(columns, others, strict=True):
        denominator = sum(exp(cosine(column, other) / t) for other in others)
        total -= log(exp(cosine(column, partner) / t) / denominator)
    return total / len(columns)


def self_expression(z, coefficients, weight=1.0, norm="fro2"):
    total = 0.0
    for i in range(len(z)):
        combination = np.zeros(len(z[0]))
        for j in range(len(z)):
            if j != i:
                c = coefficients[i][j]
                total += c**2 if norm == "fro2" else abs(c)
                combination += c * np.asarray(z[j])
        total += weight * squared_distance(z[i], combination)
    return total


def cluster_balance(y, sizes=None):
    n_clusters = len(y[0])
    divergence = 0.0
    for k in range(n_clusters):
        share = 0.0
        for row in y:
            share += row[k] / len(y)
        if share > 0:
            wanted = 1 / n_clusters if sizes is None else sizes[k]
            divergence += share * log(share / wanted)
    return divergence


def clustering_accuracy(y_true, y_pred):
    classes, clusters = list(set(y_true)), list(set(y_pred))
    # Stand-ins that no sample has let the permutations leave some unmatched.
    classes += [None] * max(0, len(clusters) - len(classes))
    best = 0
    for chosen in itertools.permutations(classes, len(clusters)):
        names = dict(zip(clusters, chosen, strict=True))
        hits = sum(
            names[pred] == true for true, pred in zip(y_true, y_pred, strict=True)
        )
        best = max(best, hits)
    return best / len(y_true)


def normalized_mutual_info_max(y_true, y_pred):
    n = len(y_true)

    def entropy(labels):
        shares = [list(labels).count(value) / n for value in set(labels)]
        return -sum(share * log(share) for share in shares)

    pairs = list(zip(y_true, y_pred, strict=True))
    mutual = entropy(y_true) + entropy(y_pred) - entropy(pairs)
    return mutual / max(entropy(y_true), entropy(y_pred))


def neighbor_modularity(embedding, labels, n_neighbors):
    n = len(embedding)
    edges = np.zeros((n, n))
    for i in range(n):
        others = [j for j in range(n) if j != i]
        others.sort(key=lambda j: squared_distance(embedding[i], embedding[j]))
        for j in others[:n_neighbors]:
            edges[i, j] = edges[j, i] = 1
    degree = [sum(row) for row in edges]
    ends = sum(degree)
    total = 0.0
    for i in range(n):
        for j in range(n):
            if labels[i] == labels[j]:
                total += edges[i, j] - degree[i] * degree[j] / ends
    return total / ends
