"""Python programs in processes of their own, without what importing torch costs each of them.

A server imports torch and torchvision, nothing else, and is forked for each program. A test needs
a real start of Python where it is about how these two are imported.
"""

import atexit
import json
import multiprocessing
import os
import runpy
import subprocess
import sys
import types
import warnings
from collections.abc import Sequence
from contextlib import redirect_stdout, suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryFile

LIMIT = 150  # seconds; a program takes less than 10, and one that hangs must not stop the suite
IMPORTED = ('torch', 'torch.distributed.fsdp', 'torchvision')


def run_python(
    *words: str, folder: Path, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess:
    """What `python WORDS` gives: [-W ACTION], then -c CODE, -m MODULE ... or FILE ...

    A traceback begins with lines of the server; functions of `atexit` need not be called.
    """
    server = start_server()
    job = words, str(folder), dict(os.environ if environment is None else environment)
    print(json.dumps(job), file=server.stdin, flush=True)
    status, out, err = json.loads(server.stdout.readline())
    if status is None:
        raise subprocess.TimeoutExpired(words, LIMIT, out, err)
    return subprocess.CompletedProcess(words, status, out, err)


@cache
def start_server() -> subprocess.Popen:
    environment = {name: value for name, value in os.environ.items() if name != 'PYTHONPATH'}
    pipes = {'stdin': subprocess.PIPE, 'stdout': subprocess.PIPE}
    server = subprocess.Popen([sys.executable, __file__], **pipes, text=True, env=environment)
    atexit.register(server.communicate)  # it ends with its input
    return server


def serve() -> None:
    """Do each job in a fork; answer with its status and its output."""
    del sys.path[0]  # the folder of this file
    with redirect_stdout(sys.stderr):
        for name in IMPORTED:
            with suppress(Exception):  # where it does not load, the programs find that themselves
                import_module(name)
    context = multiprocessing.get_context('fork')
    for line in sys.stdin:
        with TemporaryFile() as out, TemporaryFile() as err:
            files = (out.fileno(), err.fileno())
            process = context.Process(target=be_python, args=(*json.loads(line), files))
            process.start()
            process.join(LIMIT)
            status = process.exitcode  # None where it hangs
            process.kill()
            texts = [file.seek(0) or file.read().decode() for file in (out, err)]
            sys.stdout.write(json.dumps([status, *texts]) + '\n')
            sys.stdout.flush()
    os._exit(0)  # to take apart what torch has built takes a second


def be_python(
    words: Sequence[str], folder: str, environment: dict[str, str], files: Sequence[int]
) -> None:
    """Become what `python WORDS` starts, with these files as standard output and error."""
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    os.dup2(files[0], 1)
    os.dup2(files[1], 2)
    sys.orig_argv = [sys.executable, *words]
    if words[0] == '-W':
        warnings.simplefilter(words[1])
        sys.warnoptions.append(words[1])
        words = words[2:]
    option, places = words[0], {'-c': '', '-m': folder}
    path = environment.get('PYTHONPATH', '').split(os.pathsep)
    sys.path[:0] = [places.get(option, str(Path(option).parent)), *filter(None, path)]
    sys.argv = [option, *words[2:]] if option in places else list(words)
    if option == '-c':
        main = sys.modules['__main__'] = types.ModuleType('__main__')
        exec(words[1], main.__dict__)
    elif option == '-m':
        runpy.run_module(words[1], run_name='__main__', alter_sys=True)
    else:
        runpy.run_path(option, run_name='__main__')


if __name__ == '__main__':
    serve()
