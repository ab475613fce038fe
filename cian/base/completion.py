"""Completion of the command line for a shell, by shtab."""

import argparse
import importlib
import sys

import shtab

from cian.base.parser import Parser

FILES = ("FILE", "LIST", "PATH", "PICTURE", "WEIGHTS")
FOLDERS = ("DIR", "ROOT", "RUN")


def print_completion(words, verbs):
    """Print the script of the shell that `words` name; the exit status. verbs: {name: what it does}."""
    parser = argparse.ArgumentParser("cian")
    parser.add_argument("--version", action="store_true", help="show the version")
    parser.add_argument("--print-completion", choices=shtab.SUPPORTED_SHELLS, help="print the completion of a shell")
    commands = parser.add_subparsers(metavar="VERB")
    for verb, text in verbs.items():
        commands.add_parser(verb, help=text, add_help=False)
        commands.choices[verb] = importlib.import_module(f"cian.commands.{verb}").make_parser()
    add_paths(parser)
    reader = Parser("cian --print-completion", "Print the completion of a shell.")
    reader.add_argument("shell", choices=shtab.SUPPORTED_SHELLS)
    sys.stdout.write(shtab.complete(parser, reader.parse_args(words).shell) + "\n")
    return 0


def add_paths(parser):
    """Let values that are paths be completed as such."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for part in action.choices.values():
                add_paths(part)
            continue
        if isinstance(action.choices, dict):
            action.choices = tuple(action.choices)  # shtab counts them
        if action.metavar in FILES:
            action.complete = shtab.FILE
        elif action.metavar in FOLDERS:
            action.complete = shtab.DIRECTORY
