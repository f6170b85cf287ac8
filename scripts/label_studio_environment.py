"""Make a virtual environment with Label Studio, in which tests and the pictures of the documentation run it.

    python3 scripts/label_studio_environment.py FOLDER
    TASKSEL_LABEL_STUDIO_PYTHON=FOLDER/bin/python python -m pytest tests/integration/test_label_studio.py

It stands apart, since Label Studio pins some hundred packages; that takes about 1 GB. An environment that is
there already is left as it is.
"""

from __future__ import annotations

import argparse
import subprocess
import venv
from pathlib import Path

VERSION = "1.23.2"
"""Which the upload and download were verified with."""


def main() -> None:
    """Make the environment."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    done = folder / f".label-studio-{VERSION}"
    if done.is_file():
        return
    venv.create(folder, with_pip=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, f"label-studio=={VERSION}"], check=True)
    done.touch()


if __name__ == "__main__":
    main()
