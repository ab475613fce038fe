"""Settings as options of a command line."""

import argparse
import dataclasses
import re
import typing
from typing import Any, Callable, Dict, Tuple, Type

from cian.config.settings import PRESETS, Chosen, Settings


def add_arguments(parser: argparse.ArgumentParser, cls: Type[Settings]) -> None:
    """Add an option for every field of a settings class; --help shows its default in every preset."""
    group = parser.add_argument_group(f"settings of {cls.title}", "their defaults depend on --preset")
    presets = {name: cls.preset(name) for name in PRESETS}
    for item in dataclasses.fields(cls):
        choices, names = item.metadata["choices"], item.metadata["options"] or (item.name.replace("_", "-"),)
        values = {name: getattr(settings, item.name) for name, settings in presets.items()}
        action = group.add_argument(
            *("--" + name for name in names),
            dest=item.name,
            default=None,
            type=parser_of(item),
            choices=choices,
            metavar=None if choices else item.name.split("_")[-1].upper(),
            help=f"{item.metadata['help']} ({defaults(values)})",
        )
        hide(action, *("--" + name for name in item.metadata["old"]))


def defaults(values: Dict[str, Any]) -> str:
    """{preset: value} -> `default: 321; animals: 161, scenes: 129`; the first preset is the published one."""
    first, *others = values
    differ = ", ".join(f"{name}: {show(values[name])}" for name in others if values[name] != values[first])
    return f"default: {show(values[first])}" + (f"; {differ}" if differ else "")


def hide(action: argparse.Action, *names: str) -> None:
    """Leave these names of an option out of the help; they go on to work."""
    action.option_strings = [name for name in action.option_strings if name not in names]


def add_count(parser: argparse.ArgumentParser, default: int, text: str) -> None:
    """Add --count, of images and the like; its old name is --images."""
    action = parser.add_argument("--count", "--images", type=positive, default=default, help=f"{text} (default: {default})")
    hide(action, "--images")


def from_arguments(args: argparse.Namespace, cls: Type[Chosen]) -> Chosen:
    """The settings of parsed arguments: those given, over the preset `args.preset`."""
    given = {item.name: getattr(args, item.name) for item in dataclasses.fields(cls)}
    return cls.preset(args.preset, **{name: value for name, value in given.items() if value is not None})


def parser_of(item: "dataclasses.Field[Any]") -> Callable[[str], Any]:
    """Function from a command-line word to the value of a field."""
    kind: Any = item.type
    if typing.get_origin(kind) is tuple:
        return numbers
    return yes_or_no if kind is bool else kind


def numbers(text: str) -> Tuple[float, ...]:
    """`0.5,1` -> (0.5, 1.0)."""
    return tuple(float(word) for word in text.split(","))


def at_least(least: int) -> Callable[[str], int]:
    """Type of an option that takes a whole number from `least` on: `3` -> 3, an error that says so below."""

    def whole_number(text: str) -> int:
        if not re.fullmatch(r"[+-]?\d+", text) or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r}, expected a whole number, {least} or more")
        return int(text)

    return whole_number


positive = at_least(1)


def yes_or_no(text: str) -> bool:
    """`yes` -> True, `no` -> False; ValueError otherwise."""
    if text not in ("yes", "no"):
        raise ValueError(text)
    return text == "yes"


def show(value: Any) -> Any:
    """A default as it would be typed."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ",".join(map(str, value)) if isinstance(value, tuple) else value if value != "" else "none"
