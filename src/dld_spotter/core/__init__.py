"""Typed values that everything shares; no models, no configuration."""
