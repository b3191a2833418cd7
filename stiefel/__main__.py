"""`python -m stiefel` is the `stiefel` command."""

import sys

from stiefel.cli import main

sys.exit(main())
