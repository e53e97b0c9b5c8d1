"""What every estimator shares: validation, runs, fitted attributes, state."""
