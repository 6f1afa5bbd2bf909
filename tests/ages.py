"""An age that stands nowhere else, so that a test can search everything for it."""

import re

ADULT = 113  # years; 71 was found in ids and times
# Not within an id, a time, a share of seconds or a path such as pytest-113.
_ALONE = re.compile(rf"(?<![\w./-]){ADULT}(?:\.0)?(?!\w|\.\d)")


def states_adult(text: str) -> bool:
    """Whether the text has the age as a number of its own, or as a DICOM file writes it."""
    return f"{ADULT}Y" in text or _ALONE.search(text) is not None
