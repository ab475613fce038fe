"""The networks as HybridBlocks, their checkpoints, and the pretrained weights they start from.

May import `base`; a network knows neither data nor settings.
"""
