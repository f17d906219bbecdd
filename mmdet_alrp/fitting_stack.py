"""To be imported first by a part that needs MMDetection: what does not fit is an error of one line.

Importing the package says so too, unless a part of it that needs torch alone was imported before.
"""

from mmdet_alrp.compatibility import refuse_misfits

refuse_misfits()
