"""The tutorial runs from top to bottom, and shows what it gives."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[1]
PATH = ROOT / 'docs' / 'tutorial.ipynb'
NOTEBOOK = nbformat.read(PATH, as_version=4)
CODE = [cell for cell in NOTEBOOK.cells if cell.cell_type == 'code']
TEXT = '\n'.join(cell.source for cell in NOTEBOOK.cells)
# Cells whose output does not depend on what was trained
FIXED = ('draw', 'configs', 'core', 'loops')
SETTINGS = """
import gc
from pathlib import Path

gc.collect = int  # MMEngine's, for each dataset, would take as long as the short trainings
TRAIN_IMAGES, VAL_IMAGES, EPOCHS = 4, 3, 2
WORK_DIR = Path('a tutorial')
"""


def cell_of(notebook, name):
    (cell,) = (cell for cell in notebook.cells if cell.id == name)
    return cell


def printed(cell):
    """All text of a cell's outputs; how it is cut into outputs is a matter of timing."""
    return ''.join(output.get('text') or output.data['text/plain'] for output in cell.outputs)


@pytest.fixture(scope='module')
def ran(tmp_path_factory):
    """The notebook after a short run, and the empty folder in which it ran."""
    folder = tmp_path_factory.mktemp('notebook')
    notebook = nbformat.read(PATH, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == 'code':
            cell.outputs = []
    settings = cell_of(notebook, 'settings')
    assert settings.metadata.tags == ['parameters']
    settings.source = SETTINGS
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('PYTHONPATH', str(ROOT))
        patch.setenv('OMP_NUM_THREADS', '1')
        patch.setenv('CUDA_VISIBLE_DEVICES', '-1')
        for name in ('JUPYTER_RUNTIME_DIR', 'IPYTHONDIR'):
            patch.setenv(name, str(tmp_path_factory.mktemp(name)))
        resources = {'metadata': {'path': str(folder)}}
        client = NotebookClient(notebook, timeout=600, kernel_name='python3', resources=resources)
        client.execute()  # raises the error of a cell
    return notebook, folder


def test_every_cell_runs_and_leaves_what_the_text_names(ran):
    notebook, folder = ran
    assert [path.name for path in folder.iterdir()] == ['a tutorial']
    for name in ('aLRP', 'focal'):
        run = folder / 'a tutorial' / name
        assert {'epoch_2.pth', 'val.bbox.json'} <= {path.name for path in run.iterdir()}
        assert list(run.glob('*/vis_data/scalars.json'))
    for cell in notebook.cells:
        for output in cell.get('outputs', ()):
            assert output.get('name') != 'stderr', (cell.id, output)


def test_what_does_not_depend_on_training_is_as_stored(ran):
    notebook, _ = ran
    for name in FIXED:
        assert printed(cell_of(notebook, name)) == printed(cell_of(NOTEBOOK, name)), name
