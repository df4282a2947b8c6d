"""sbom.py PACKAGE TRIPLE: what is linked into a program of this workspace, as CycloneDX 1.6, on standard output.

`cargo tree` says what is linked, Cargo.lock has the checksums, `cargo metadata` the licences. The same tree gives the
same text: it has no time and no serial number, which the format leaves out where one likes.
"""

import json
import subprocess
import sys


def cargo(*arguments: str) -> str:
    return subprocess.run(["cargo", *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout


def checksums() -> dict[tuple[str, str], str]:
    found, package = {}, {}
    with open("Cargo.lock", encoding="utf-8") as lock:
        for line in lock:
            if line.startswith("[["):
                package = {}
            elif " = \"" in line:
                key, value = line.strip().split(" = ", 1)
                package[key] = value.strip('"')
                if key == "checksum":
                    found[package["name"], package["version"]] = package[key]
    return found


def main() -> None:
    package, triple = sys.argv[1:]
    tree = cargo("tree", "--locked", "-p", package, "--target", triple, "-e", "normal", "--prefix", "depth", "-f", " {p}")
    # DEPTH NAME vVERSION …; what stands under a package is what it is linked with. A package is written out once.
    linked: dict[tuple[str, str], set[tuple[str, str]]] = {}
    path: list[tuple[str, str]] = []
    for line in tree.splitlines():
        depth, name, version, *_ = line.split()
        key = (name, version.removeprefix("v"))
        linked.setdefault(key, set())
        path[int(depth) :] = [key]
        if len(path) > 1:
            linked[path[-2]].add(key)
    metadata = json.loads(cargo("metadata", "--locked", "--format-version", "1", "--filter-platform", triple))
    described = {(entry["name"], entry["version"]): entry for entry in metadata["packages"]}
    sums = checksums()

    def purl(key: tuple[str, str]) -> str:
        return f"pkg:cargo/{key[0]}@{key[1]}"

    def component(key: tuple[str, str], kind: str) -> dict:
        entry = described[key]
        made = {"type": kind, "bom-ref": purl(key), "name": key[0], "version": key[1], "purl": purl(key)}
        if entry["license"]:
            # "A/B" is an older way to write "A OR B".
            made["licenses"] = [{"expression": entry["license"].replace("/", " OR ")}]
        if key in sums:
            made["hashes"] = [{"alg": "SHA-256", "content": sums[key]}]
        return made

    root = next(key for key in linked if key[0] == package)
    bom = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": component(root, "application")},
        "components": [component(key, "library") for key in sorted(linked) if key != root],
        "dependencies": [{"ref": purl(key), "dependsOn": sorted(map(purl, linked[key]))} for key in sorted(linked)],
    }
    json.dump(bom, sys.stdout, indent=1)
    print()


main()
