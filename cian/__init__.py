"""CIAN for MXNet/Gluon: semantic segmentation learned from image-level tags (Fan et al., AAAI 2020)."""

__version__ = "0.1.0"
