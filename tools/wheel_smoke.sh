#!/usr/bin/env bash
# Build the wheel, check its contents, install it in a new virtual environment, and run it from another
# directory: `make wheel-smoke`. It installs torch, and needs some minutes and gigabytes of temporary space.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-python3}
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT

"$python" -m venv "$place/venv"
pip=("$place/venv/bin/python" -m pip --quiet --disable-pip-version-check)
"${pip[@]}" wheel --no-deps --wheel-dir "$place/dist" "$root"
wheel=$(echo "$place"/dist/*.whl)
echo "built $(basename "$wheel"), $(du -h "$wheel" | cut -f1)"

"$place/venv/bin/python" - "$wheel" "$root/src" <<'PYTHON'
import sys
import zipfile
from pathlib import Path

source = Path(sys.argv[2])
names = set(zipfile.ZipFile(sys.argv[1]).namelist())
package = {name for name in names if ".dist-info/" not in name}
files = {path.relative_to(source).as_posix() for path in (source / "tailored_llama").rglob("*") if path.is_file()}
files = {name for name in files if "__pycache__" not in name}
assert package == files, f"the wheel and the sources differ: {sorted(package ^ files)[:5]}"
print(f"{len(package)} files, exactly those of the package")
PYTHON

"${pip[@]}" install --constraint "$root/constraints.txt" torch
"${pip[@]}" install --constraint "$root/constraints.txt" "$wheel"
mkdir "$place/elsewhere"
cd "$place/elsewhere"
env -u PYTHONPATH "$place/venv/bin/python" -c "import tailored_llama as t; print('version', t.__version__, t.__file__)"
env -u PYTHONPATH "$place/venv/bin/tailor" families
env -u PYTHONPATH "$place/venv/bin/tailor" demo --out demo
test -f demo/report.html
echo "the wheel works"
