"""Work in processes: order, errors and progress."""
import operator
import os

import pytest

from cian.base.parallel import map_parallel, processors, stream_parallel


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


def test_a_stream_keeps_the_order_and_passes_errors_on():
    taken = []

    def tasks():
        for number in range(20):
            taken.append(number)
            yield number, 2

    results = stream_parallel(pow, tasks(), workers=2, ahead=2)
    assert next(results) == 0 and len(taken) <= 5
    assert list(results) == [number**2 for number in range(1, 20)]
    with pytest.raises(ZeroDivisionError):
        list(stream_parallel(divmod, [(1, 1), (1, 0)], workers=2))
    with pytest.raises(ValueError, match="workers: expected at least 1, found 0"):
        list(stream_parallel(pow, [], workers=0))
