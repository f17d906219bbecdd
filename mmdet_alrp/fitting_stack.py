"""To be imported first by a part that needs MMDetection: what does not fit is an error of one line.

It comes before MMDetection's own, which is an assertion or an import deep inside of it.
"""

from mmdet_alrp.compatibility import OPENMMLAB, refuse_misfits

refuse_misfits(*OPENMMLAB)
