"""What every room stands on: files, run folders, results, processes, the manners of a command line.

May import `config`. `runtime` is the one place that prepares and imports MXNet; nothing else here needs it.
"""
