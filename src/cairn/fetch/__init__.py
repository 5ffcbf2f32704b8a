"""Downloads that resume, are checked, and meet a full disk, a bad server or a hostile tar calmly.

It knows nothing of data sets: `cairn.sources` says what to get and where it goes.
"""
