"""The papers' numbers, as every test of the report needs them."""

import pytest
from report_pages import ROOT

from cian.base.results import read_paper


@pytest.fixture(scope="session")
def paper():
    return read_paper(ROOT / "experiments" / "paper.csv")
