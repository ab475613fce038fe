"""From a trained network to masks: logits of whole images, dense CRF, random walk, the archive for the test server.

May import `data`, `models` and below. What runs in worker processes does not import MXNet.
"""
