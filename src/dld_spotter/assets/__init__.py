"""Weights, vocabularies and the page of the demo."""
