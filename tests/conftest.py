"""Fixtures: the development data, where it is present."""
import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared():
    """The folder with real images, golden files and weights: $CIAN_SHARED or ../shared; the test skips without it."""
    folder = Path(os.environ.get("CIAN_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    if not (folder / "golden").is_dir():
        pytest.skip(f"no development data at {folder} (set CIAN_SHARED)")
    return folder
