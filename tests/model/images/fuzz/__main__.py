"""The command `python -m tests.model.images.fuzz`."""

import sys

from tests.model.images.fuzz.fuzz import main

sys.exit(main(sys.argv[1:]))
