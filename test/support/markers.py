"""Which tests need what, by folder and file; `make check` leaves all of these out.

Where only some tests of a file need it, they carry the marker themselves.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from processes import ROOT

MARKERS = {
    "benchmark": "slow",
    "cli/test_explain.py": "torch",
    "cli/test_export.py": "torch",
    "cli/test_names.py": "slow",
    "evaluation/test_benchmarks.py": "slow",
    "fusion/test_map_file.py": "slow",
    "models/runtimes/test_conversions.py": "torch",
    "models/runtimes/test_cuda_runtime.py": "torch",
    "models/test_embedded_model.py": "torch",
    "models/test_encoder_weights.py": "torch",
    "models/test_model_contract.py": "torch",
    "models/test_resampling.py": "torch",
    "models/test_toy_family.py": "torch",
    "models/test_transformer_models.py": "torch",
    "models/test_transformer_refusals.py": "torch",
    "models/test_unetpp.py": "torch",
    "project/test_packaging.py": "slow",
    "report/test_report_browser.py": "browser",
    "ros": "ros",
    "training": "torch",
    "workers": "slow",
}
OF_TORCH = {"folder_of", "one_thread"}  # fixtures


def markers_of(item: pytest.Item) -> Iterator[str]:
    """The markers of a test's file, of the folders above it and of its fixtures."""
    path = item.path.relative_to(ROOT / "test")
    for place in (path, *path.parents):
        if marker := MARKERS.get(place.as_posix()):
            yield marker
    if OF_TORCH & set(getattr(item, "fixturenames", ())):
        yield "torch"
