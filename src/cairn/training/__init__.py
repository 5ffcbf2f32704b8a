"""The training loop: stages, epochs and steps over one run folder, by one process or several.

A run is a function of recipe, data and seed. Order and augmentation of every photograph derive from
(seed, epoch, row, showing), what random layers draw from (seed, epoch, step, process), and the
state is saved whole, so that a run that was killed anywhere continues, on the same kind of
processor and with as many processes, to the weights it would have had.
"""

from cairn.training.trainer import Trainer

__all__ = ["Trainer"]
