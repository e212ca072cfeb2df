"""`--data DIR`: a folder of local rows and texts as the `data` of a recipe."""

from __future__ import annotations

from pathlib import Path

from tailored_llama.errors import DataError

SPLITS = ("train", "validation", "test")


def places_in(folder: Path) -> dict[str, str]:
    """{name of a task or text: its directory} for each sub-directory of `folder`.

    A sub-directory that holds a `.jsonl`, `.csv` or `.parquet` file named by a split is a task's; else the
    one `.txt` or `.jsonl` file in it is a text (`wikitext2/test.txt`, `c4/demo.jsonl`). Others are left out.
    Raises DataError if there is no such sub-directory.
    """
    if not folder.is_dir():
        raise DataError(
            f"--data {folder}: no such directory; name one that has a sub-directory for each task"
        )
    found = {}
    for place in sorted(path for path in folder.iterdir() if path.is_dir()):
        rows = [
            file for file in place.iterdir() if file.name.split(".")[0] in SPLITS and file.suffix != ".txt"
        ]
        texts = [file for file in place.iterdir() if file.suffix in (".txt", ".jsonl")]
        if rows:
            found[place.name] = str(place)
        elif len(texts) == 1:
            found[place.name] = str(texts[0])
    if not found:
        raise DataError(
            f"--data {folder}: no sub-directory of it holds rows (boolq/train.jsonl) or one text "
            "(wikitext2/test.txt); name the directory above them"
        )
    return found
