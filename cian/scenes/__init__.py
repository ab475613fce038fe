"""The generated data set: backgrounds, objects and their images, masks and tags.

May import `data` and below; no MXNet.
"""
