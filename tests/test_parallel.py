"""Work in processes: order, errors and progress."""
import operator
import os

import pytest

from cian.parallel import map_parallel, processors


@pytest.mark.parametrize("workers", [1, 2, None])
def test_results_are_in_order_and_progress_counts_them(workers):
    done = []
    items = list(range(50, 0, -1))
    assert list(map_parallel(operator.neg, items, workers, done.append)) == [-item for item in items]
    assert sum(done) == 50
    assert list(map_parallel(operator.neg, [], workers)) == []


def process_number(_):
    return os.getpid()


def test_where_the_work_is_done():
    assert set(map_parallel(process_number, range(3), 1)) == {os.getpid()}
    assert os.getpid() not in set(map_parallel(process_number, range(3), 2))
    assert 1 <= processors() <= os.cpu_count()


@pytest.mark.parametrize("workers", [1, 2])
def test_errors_are_passed_on(workers):
    with pytest.raises(ZeroDivisionError):
        list(map_parallel(divide, [1, 0, 2], workers))


def divide(item):
    return 1 / item


def test_wrong_number_of_workers():
    with pytest.raises(ValueError, match="workers: expected at least 1, found 0"):
        map_parallel(divide, [1, 2], 0)
