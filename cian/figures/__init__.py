"""Pictures: contact sheets, what the affinity looks at, what matching matches, what a method improves.

May import `evaluation`, `inference`, `seeds`, `models`, `data` and below.
"""
