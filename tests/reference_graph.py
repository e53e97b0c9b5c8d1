"""The graphs once more, slowly: NumPy in float64, from the definitions."""

from fractions import Fraction

import numpy as np
from reference import cosine, squared_distance


def unit(z):
    z = np.asarray(z, dtype=np.float64)
    lengths = [np.sqrt(row @ row) for row in z]
    return np.array([r / s if s > 0 else r for r, s in zip(z, lengths, strict=True)])


def self_expression_row(z, i, weight, others=None):
    """Minimize ||c||^2 + weight ||z_i - sum_j c_j z_j||^2 as least squares."""
    z = np.asarray(z, dtype=np.float64)
    if others is None:
        others = [j for j in range(len(z)) if j != i]
    root = np.sqrt(weight)
    system = np.vstack([root * z[others].T, np.eye(len(others))])
    target = np.concatenate([root * z[i], np.zeros(len(others))])
    row = np.zeros(len(z))
    if others:
        row[others] = np.linalg.lstsq(system, target, rcond=None)[0]
    return row


def self_expression_coefficients(z, weight=1.0):
    return np.array([self_expression_row(z, i, weight) for i in range(len(z))])


def solved_coefficients(z, weight=1.0):
    """The same from the normal equations of each row."""
    n = len(z)
    coefficients = np.zeros((n, n))
    for i in range(n):
        others = [j for j in range(n) if j != i]
        products = z[others] @ z[others].T + np.eye(n - 1) / weight
        coefficients[i, others] = np.linalg.solve(products, z[others] @ z[i])
    return coefficients


def exact_coefficients(z, weight):
    """The same in fractions, without any rounding, for few samples."""
    n = len(z)
    z = [[Fraction(x) for x in row] for row in z.tolist()]
    coefficients = np.zeros((n, n))
    for i in range(n):
        others = [j for j in range(n) if j != i]
        system = []
        for a in others:
            row = [sum(x * y for x, y in zip(z[a], z[b], strict=True)) for b in others]
            row[others.index(a)] += 1 / Fraction(weight)
            system.append([*row, sum(x * y for x, y in zip(z[a], z[i], strict=True))])
        for pivot in range(n - 1):  # positive definite: no pivot is 0
            system[pivot] = [x / system[pivot][pivot] for x in system[pivot]]
            for a in range(n - 1):
                if a != pivot:
                    factor = system[a][pivot]
                    pairs = zip(system[a], system[pivot], strict=True)
                    system[a] = [x - factor * y for x, y in pairs]
        coefficients[i, others] = [float(row[-1]) for row in system]
    return coefficients


def distances(z, metric):
    n = len(z)
    result = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            if metric == "cosine":
                result[i, j] = 1 - cosine(z[i], z[j])
            else:
                result[i, j] = np.sqrt(squared_distance(z[i], z[j]))
    return result


def strengths(z, method, regularization=0.1):
    """Strength of every other sample for each, by the method's definition."""
    z = unit(z)
    n, d = z.shape
    ridge = regularization * n / d
    hat = z @ np.linalg.inv(z.T @ z + ridge * np.eye(d)) @ z.T
    if method == "raw":
        return abs(self_expression_coefficients(z, 1 / ridge))
    result = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            if hat[i, i] * hat[j, j] > 0:
                result[i, j] = hat[i, j] / np.sqrt(hat[i, i] * hat[j, j])
    return result


def first(values, k):
    """The k smallest values of each row, without its own, and where they are."""
    indices = []
    for i, row in enumerate(values):
        others = [j for j in range(len(row)) if j != i]
        indices.append(sorted(others, key=row.__getitem__)[:k])
    indices = np.array(indices)
    return indices, np.take_along_axis(np.asarray(values), indices, axis=1)


def symmetric_affinity(indices, weights, n):
    affinity = np.zeros((n, n))
    for i in range(n):
        for j, weight in zip(indices[i], weights[i], strict=True):
            if j != i and weight > 0:
                affinity[i, j] += weight
                affinity[j, i] += weight
    return affinity
