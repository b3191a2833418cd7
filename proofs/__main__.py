"""`python -m proofs` is the `proofs` command."""

import sys

from proofs.cli import main

sys.exit(main())
