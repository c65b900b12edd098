"""Graphs and tree sets in as few bytes as they honestly take."""
