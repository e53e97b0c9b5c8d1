"""Stages that the algorithms share, and what every stage is given."""
