"""Makes a folder of installed packages the same wherever and whenever it was made, and compiles its modules.

Called as: python -s -S -P -c SCRIPT FOLDER. Answers one JSON object: {"packages": [[name, version], ...]}.
"""

import csv
import io
import json
import os
import py_compile
import shutil
import sys
import warnings

# Written by the installer about this machine and this moment.
ABOUT_THE_INSTALL = {"INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json", "uv_build.json"}


def clean(folder):
    for name in ("bin", "__pycache__"):
        shutil.rmtree(os.path.join(folder, name), ignore_errors=True)
    if os.path.exists(os.path.join(folder, ".lock")):
        os.remove(os.path.join(folder, ".lock"))
    for where, folders, files in os.walk(folder):
        if "__pycache__" in folders:
            shutil.rmtree(os.path.join(where, "__pycache__"))
            folders.remove("__pycache__")
        if where.endswith(".dist-info"):
            for name in ABOUT_THE_INSTALL.intersection(files):
                os.remove(os.path.join(where, name))
            if "RECORD" in files:
                clean_record(os.path.join(where, "RECORD"))


def clean_record(path):
    """Keeps the rows of files that are still there, sorted."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = [row for row in csv.reader(file) if row]
    kept = []
    for row in rows:
        parts = row[0].split("/")
        outside = os.path.isabs(row[0]) or parts[0] in ("..", "bin")
        if not outside and "__pycache__" not in parts and parts[-1] not in ABOUT_THE_INSTALL:
            kept.append(row)
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(sorted(kept))
    with open(path, "w", newline="", encoding="utf-8") as file:
        file.write(text.getvalue())


def packages(folder):
    found = []
    for name in os.listdir(folder):
        if name.endswith(".dist-info"):
            package, _, version = name[: -len(".dist-info")].rpartition("-")
            found.append([package, version])
    return sorted(found)


def modules(folder):
    found = []
    for where, folders, files in os.walk(folder):
        folders.sort()
        found.extend(os.path.join(where, name) for name in files if name.endswith(".py"))
    return sorted(found)


def main():
    folder = sys.argv[1]
    warnings.simplefilter("ignore")
    clean(folder)
    # One process, one order: what is compiled before leaves traces in how constants are shared.
    for path in modules(folder):
        shown = "vendor/" + os.path.relpath(path, folder)
        try:
            py_compile.compile(
                path, None, shown, doraise=True, quiet=2,
                invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
            )
        except (py_compile.PyCompileError, RecursionError, MemoryError, UnicodeError, ValueError):
            # Templates and code for other versions of Python are shipped in packages, and never imported.
            pass
    json.dump({"packages": packages(folder)}, sys.stdout)


main()
