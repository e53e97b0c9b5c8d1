"""Training that knows no method: batches, the loop over stages, who listens."""
