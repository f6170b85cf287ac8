"""Make a virtual environment with Argilla and Hugging Face's datasets, for tests that use both.

    python3 scripts/argilla_environment.py FOLDER
    TASKSEL_ARGILLA_PYTHON=FOLDER/bin/python python -m pytest tests/integration/test_argilla.py

An environment that is there already is left as it is.
"""

from __future__ import annotations

import argparse
import subprocess
import venv
from pathlib import Path

VERSION = "2.8.0"
"""Which the records were verified with."""


def main() -> None:
    """Make the environment."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    done = folder / f".argilla-{VERSION}"
    if done.is_file():
        return
    venv.create(folder, with_pip=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    # requests, which the SDK imports without asking for it, came with older versions of datasets; fakeredis
    # stands for the queue of the server's background jobs.
    packages = [f"argilla=={VERSION}", f"argilla-server=={VERSION}", "datasets", "fakeredis", "requests"]
    subprocess.run([*pip, *packages], check=True)
    done.touch()


if __name__ == "__main__":
    main()
