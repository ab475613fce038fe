"""Settings as options of a command line."""

import dataclasses
import typing


def add_arguments(parser, cls):
    """Add --preset and an option for every field of a settings class; --help shows the published default."""
    group = parser.add_argument_group(f"settings ({cls.__name__.lower()})", "defaults are those of the preset voc12")
    for item in dataclasses.fields(cls):
        choices = item.metadata["choices"]
        group.add_argument(
            "--" + item.name.replace("_", "-"),
            default=None,
            type=parser_of(item),
            choices=choices,
            metavar=None if choices else item.name.split("_")[-1].upper(),
            help=f"{item.metadata['help']} (default: {show(item.default)})",
        )


def from_arguments(args, cls):
    """The settings of parsed arguments: those given, over the preset `args.preset`."""
    given = {item.name: getattr(args, item.name) for item in dataclasses.fields(cls)}
    return cls.preset(args.preset, **{name: value for name, value in given.items() if value is not None})


def parser_of(item):
    """Function from a command-line word to the value of a field."""
    if typing.get_origin(item.type) is tuple:
        return numbers
    return yes_or_no if item.type is bool else item.type


def numbers(text):
    """`0.5,1` -> (0.5, 1.0)."""
    return tuple(float(word) for word in text.split(","))


def yes_or_no(text):
    """`yes` -> True, `no` -> False; ValueError otherwise."""
    if text not in ("yes", "no"):
        raise ValueError(text)
    return text == "yes"


def show(value):
    """A default as it would be typed."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ",".join(map(str, value)) if isinstance(value, tuple) else value if value != "" else "none"
