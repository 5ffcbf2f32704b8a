"""Stages upon a gallery: what a recipe needs comes from the gallery's own folder."""

from cairn.stacks.parts import DEPTHS, context_of
from cairn.stacks.stack import Stack, Stages

__all__ = ["DEPTHS", "Stack", "Stages", "context_of"]
