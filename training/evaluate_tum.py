"""Scores models on TUM RGB-D recordings: `python -m training.evaluate_tum RECORDING ... --models NAME ...`.

The same as `mono-depth-recon evaluate` and `ros2 run mono_depth_recon evaluate_tum`.
"""

from __future__ import annotations

import sys

from mono_depth_recon.cli.evaluate import main

if __name__ == "__main__":
    sys.exit(main())
