"""What is wrong with a gallery, and what to do about it; nothing is changed."""

from cairn.doctor.check import Checkup, check_gallery
from cairn.doctor.rule import CheckRule

__all__ = ["CheckRule", "Checkup", "check_gallery"]
