"""Linting of submission files: every problem with its line, before anything is uploaded."""

from cairn.linting.problems import Lint, Problem
from cairn.linting.submission import FORMS, TASKS, Expected, lint_submission

__all__ = ["FORMS", "TASKS", "Expected", "Lint", "Problem", "lint_submission"]
