"""Against float64 no layer errs more than torch.nn's, and the book's table says what is so."""

import re

import pytest
import torch

from benchmarks import accuracy
from tests.normlab.older_torch import skip_on_older_torch

WRITTEN = accuracy.PAGE.read_text(encoding="utf-8")
VERSION = re.search(r"torch ([\d.]+)", WRITTEN)[1]


@pytest.mark.parametrize("dtype, mean", accuracy.INPUTS)
def test_no_layer_errs_more_than_torch_by_more_than_rounding(dtype, mean):
    # Rounding: a few steps of the type, or a quarter of an error that is larger on both sides.
    allowed = 4 * torch.finfo(dtype).eps
    worse = [
        f"{case}, {result}: {ours:.1e}, torch.nn {theirs:.1e}"
        for case, errors in accuracy.grid(dtype, mean).items()
        for result, (ours, theirs) in errors.items()
        if not ours <= 1.25 * theirs + allowed
    ]
    assert worse == []


@pytest.fixture(scope="module")
def measured() -> dict[str, accuracy.Errors]:
    return accuracy.rows()


def test_the_table_in_the_book_has_the_form_of_the_script(measured):
    def without_digits(text: str) -> str:
        return re.sub(r"\| \d\S* (?=\|)", "| # ", text)

    assert without_digits(WRITTEN) == without_digits(accuracy.table(measured, VERSION))


def test_no_row_of_the_table_claims_more_than_is_measured(measured):
    skip_on_older_torch("errs otherwise")
    written = re.findall(r"^\| (.*) \| (\d\S*) \| (\d\S*) \|$", WRITTEN, flags=re.M)
    assert len(written) == len(measured)
    for name, *numbers in written:
        ours, theirs = map(float, numbers)
        # Another processor sums in another order: up to four times the error, of either side.
        assert measured[name][0] <= 4 * ours + 1e-12, name
        assert measured[name][1] >= theirs / 4, name
