"""Premise kinds by theme; importing this package registers them all."""

from evals.problems.premises import ages, asides, comparisons, counts, groups, measures, money, rates, readings, work

__all__ = ["ages", "asides", "comparisons", "counts", "groups", "measures", "money", "rates", "readings", "work"]
