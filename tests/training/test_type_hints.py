"""The public face has type hints: every argument and result, of types that exist; the objectives follow their protocol."""

import inspect
import typing
from pathlib import Path

import numpy as np
import pytest

import cian
from cian.base import origin, outputs, results
from cian.config import arguments, settings, training
from cian.export import predictor
from cian.training import boundary, objectives

ROOT = Path(__file__).resolve().parents[2]
OBJECTIVES = (
    objectives.SegmentationObjective, objectives.ClassifierObjective, objectives.MatchingObjective, boundary.BoundaryObjective
)  # fmt: skip


def functions_of(module):
    """All functions of a module, and methods and properties of its classes, not inherited ones."""
    for value in vars(module).values():
        if getattr(value, "__module__", None) != module.__name__:
            continue
        for member in vars(value).values() if inspect.isclass(value) else [value]:
            member = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
            if inspect.isfunction(member) and member.__code__.co_filename == module.__file__:  # not what dataclass makes
                yield member


def missing(function):
    """Names of the arguments without a type, and "return"."""
    signature = inspect.signature(function)
    bare = [name for name, one in signature.parameters.items() if one.annotation is one.empty and name not in ("self", "cls")]
    return bare + ["return"] * (signature.return_annotation is signature.empty)


@pytest.mark.parametrize(
    "module", [predictor, settings, training, arguments, results, origin, outputs, objectives], ids=lambda m: m.__name__
)
def test_arguments_and_results_have_types_that_exist(module):
    found = list(functions_of(module))
    assert found and {f.__qualname__: missing(f) for f in found if missing(f)} == {}
    for function in found:
        typing.get_type_hints(function)  # NameError for a type that is not there


def test_missing_types_are_found():
    def half(a: int, b, *more, **rest: str):
        return a

    assert missing(half) == ["b", "more", "return"]


def test_objectives_follow_the_protocol():
    wanted = typing.get_type_hints(objectives.Objective.__call__)
    assert wanted["return"] == typing.Dict[str, typing.Any] and wanted["batch"] == typing.Tuple[np.ndarray, ...]
    for objective in OBJECTIVES:
        assert typing.get_type_hints(objective.__call__) == wanted
        assert list(inspect.signature(objective.__call__).parameters) == ["self", "batch", "device"]


def test_the_package_says_that_it_is_typed():
    assert (ROOT / "cian" / "py.typed").is_file() and '"cian": ["py.typed"]' in (ROOT / "setup.py").read_text()
    assert cian.Predictor is predictor.Predictor and cian.Prediction is predictor.Prediction
    assert sorted(cian.__all__) == ["Prediction", "Predictor", "__version__"]
