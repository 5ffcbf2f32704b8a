"""Google Landmarks Dataset v2 (Weyand et al., CVPR 2020): its files, fetched and made a manifest.

What lies where, and the meaning of every column, is taken from the data set's own page,
https://github.com/cvdfoundation/google-landmark (version 2.1).
"""

from cairn.sources.gldv2.fetching import Fetched, fetch
from cairn.sources.gldv2.layout import BASE, SETS, Choice, choose
from cairn.sources.gldv2.plan import Plan, make_plan
from cairn.sources.gldv2.reading import Gldv2Contents, read_gldv2, require_one_label_space

__all__ = [
    "BASE", "SETS", "Choice", "Fetched", "Gldv2Contents", "Plan", "choose", "fetch", "make_plan",
    "read_gldv2", "require_one_label_space",
]  # fmt: skip
