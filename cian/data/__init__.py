"""Data sets in VOC layout and what is read from them: lists, tags, images, masks, CAM files, groups, batches; VOC, SBD, COCO.

May import `config` and `base`; no MXNet.
"""
