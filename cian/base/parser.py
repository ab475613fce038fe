"""The parser of every command line: a short usage, errors that say what may have been meant, defaults where there are some."""

import argparse
import difflib
import inspect
import sys

import cian
from cian.base.messages import hush


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Docstrings and examples as they are; adds a default that the help text of an option does not tell itself."""

    def __init__(self, prog):
        super().__init__(prog, max_help_position=26)

    def _get_help_string(self, action):
        untold = action.default is None or isinstance(action.default, bool) or action.default is argparse.SUPPRESS
        if untold or not action.option_strings or "default" in action.help or "%(default)" in action.help:
            return action.help
        return action.help + " (default: %(default)s)"


class Quiet(argparse.Action):
    """--quiet, which takes effect at once."""

    def __call__(self, *_):
        hush()


class Parser(argparse.ArgumentParser):
    """Options of one verb, or of a part of it.

    prog: the command as one types it, `cian train`; description: the module's docstring; example: command lines for the end of
    the help. Options with required=True, and required groups of them, stand first, in a group of their own.
    """

    def __init__(self, prog, description=None, example=None, usage=None, **options):
        epilog = None if example is None else "example:\n  " + example.replace("\n", "\n  ")
        super().__init__(
            prog=prog,
            description=description and inspect.cleandoc(description),
            epilog=epilog,
            usage=usage,
            formatter_class=HelpFormatter,
            **options,
        )
        self._required = self.add_argument_group("required")
        self._action_groups.insert(1, self._action_groups.pop())  # after the positional ones, before the options
        self.add_argument("-q", "--quiet", action=Quiet, nargs=0, default=argparse.SUPPRESS,
                          help="no progress, only warnings and errors")  # fmt: skip
        self.add_argument("--version", action="version", version=f"cian {cian.__version__}", help="show the version and exit")

    def add_argument(self, *names, **options):
        container = self._required if options.get("required") and names[0].startswith("-") else super()
        return container.add_argument(*names, **options)

    def add_mutually_exclusive_group(self, **options):
        container = self._required if options.get("required") else super()
        return container.add_mutually_exclusive_group(**options)

    def parse_known_args(self, args=None, namespace=None):
        words = sys.argv[1:] if args is None else list(args)
        if self._subparsers is None:  # else the part's own parser looks at them
            self._check_names(words)
        return super().parse_known_args(words, namespace)

    def _check_names(self, words):
        """Before argparse complains of what is missing: is there an option that does not exist?"""
        for word in words:
            name = word.split("=", 1)[0]
            if name == "--":
                return
            if (
                name.startswith("--")
                and " " not in name
                and not any(known.startswith(name) for known in self._option_string_actions)
            ):
                self.error(f"unknown option {name}{did_you_mean(name, self._option_string_actions)}")

    def error(self, message):
        """The short usage and one line; status 2."""
        self.exit(2, f"{self.format_usage()}error: {message}\n")

    def format_usage(self):
        self.usage = self.usage or self._short_usage()
        return super().format_usage()

    def format_help(self):
        self.usage = self.usage or self._short_usage()
        return super().format_help()

    def _short_usage(self):
        """`%(prog)s --data ROOT (--checkpoint FILE | --maps DIR) [options]`: what is needed, and that there is more."""
        words, grouped = ["%(prog)s"], {}
        for group in self._mutually_exclusive_groups:
            if group.required:
                grouped.update({id(action): group._group_actions for action in group._group_actions})
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                words.append("|".join(action.choices))
            elif not action.option_strings:
                name = action.metavar or action.dest.upper()
                words.append({"*": f"[{name} ...]", "+": f"{name} ...", "?": f"[{name}]"}.get(action.nargs, name))
            elif id(action) in grouped and grouped[id(action)][0] is action:
                words.append("(" + " | ".join(_typed(other) for other in grouped[id(action)]) + ")")
            elif action.required and id(action) not in grouped:
                words.append(_typed(action))
        return " ".join(words).replace("%", "%%").replace("%%(prog)s", "%(prog)s") + " [options]"


def _typed(action):
    """An option with its value, as one types it."""
    name = action.option_strings[-1]
    return name if action.nargs == 0 else f"{name} {action.metavar or action.dest.upper()}"


def did_you_mean(word, known):
    """`; did you mean train?` where something known is like the word, else nothing."""
    close = difflib.get_close_matches(word, list(known), 1)
    return f"; did you mean {close[0]}?" if close else ""
