#!/usr/bin/env bash
# Build the wheel, check what it contains, install it in a new virtual environment, and run it from another
# directory: `make wheel-smoke`. It installs torch and needs some minutes and gigabytes of temporary space.
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

"$place/venv/bin/python" - "$wheel" <<'PYTHON'
import sys
import zipfile

names = zipfile.ZipFile(sys.argv[1]).namelist()
packaged = [name for name in names if name.startswith("tailored_llama/")]
rest = [name for name in names if name not in packaged and ".dist-info/" not in name]
needed = [
    "world/model/model.safetensors", "world/rows/boolq-train.jsonl", "world/text/train.txt", "recipes/demo.yaml",
    "tasks/boolq.yaml", "reporting/page.html.jinja", "reporting/matrix.html.jinja", "shaped.py",
]
missing = [name for name in needed if not any(path.endswith(name) for path in packaged)]
assert not rest, f"the wheel contains more than the package: {rest[:5]}"
assert not missing, f"the wheel lacks {missing}"
assert not [name for name in packaged if "/tests/" in name or name.endswith(".pyc")], "tests or bytecode"
print(f"{len(packaged)} files of the package, none beside it")
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
