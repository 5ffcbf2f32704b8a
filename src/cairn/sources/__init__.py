"""Readers of data as people have it; each gives a manifest."""
