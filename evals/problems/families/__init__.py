"""Families of goals by theme; importing this package registers them all."""

from evals.problems.families import garden, heldout, juice, money, people, recipes, shopping, time, travel

__all__ = ["garden", "heldout", "juice", "money", "people", "recipes", "shopping", "time", "travel"]

HELDOUT_FAMILIES = ("collecting", "fuel", "school")
"""Never in train: they reuse premises and words of the others in goals of their own."""
