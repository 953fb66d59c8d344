"""Evaluation: generated problems, the user simulator, grading, and the lm-eval model."""
