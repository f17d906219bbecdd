"""Folders of images and masks as MMSegmentation reads them."""
