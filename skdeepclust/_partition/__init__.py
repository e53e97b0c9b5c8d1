"""From graphs of the samples to K clusters, without a prior of equal sizes."""
