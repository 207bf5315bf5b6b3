"""`python -m mono_depth_recon.cli` is `mono-depth-recon`."""

import sys

from . import main

sys.exit(main())
