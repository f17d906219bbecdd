"""The functions of mmcv's compiled extension on torchvision's prebuilt operators.

`python -m mmdet_alrp operators` gives them to an mmcv that was installed without a compiler. The
modules here need torch and torchvision alone, and import each other relatively: mmcv reads them
without importing `mmdet_alrp`, because that would register its parts while mmcv is half imported.
"""
