"""Writes an image archive from single files, the same bytes for the same files: no time, no owner, no order by chance.

The archive is an OCI image layout that also has docker's manifest.json, so `ctr images import`, `docker load`,
`podman load` and `skopeo copy oci-archive:` all take it. The layer is not compressed, for compressors differ from one
machine to the next. Prints the digest of the image.
"""

import argparse
import hashlib
import io
import json
import os
import platform
import tarfile

OCI = "application/vnd.oci.image"


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", metavar="FILE:PATH", help="a program and its path in the image")
    parser.add_argument("--name", required=True, help="repository:tag")
    parser.add_argument("--output", required=True)
    parser.add_argument("--entrypoint")
    parser.add_argument("--command")
    parser.add_argument("--user", default="")
    parser.add_argument("--label", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--link", action="append", default=[], metavar="TARGET:PATH")
    parser.add_argument("--folder", action="append", default=[], metavar="MODE:PATH")
    return parser.parse_intermixed_args()


def member(path: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(path.strip("/"))
    info.type, info.mode, info.mtime = kind, mode, 0
    return info


def add(archive: tarfile.TarFile, path: str, data: bytes, mode: int = 0o644) -> None:
    info = member(path, tarfile.REGTYPE, mode)
    info.size = len(data)
    archive.addfile(info, io.BytesIO(data))


def layer(asked: argparse.Namespace) -> bytes:
    files = dict(reversed(pair.rsplit(":", 1)) for pair in asked.files)
    links = dict(reversed(pair.rsplit(":", 1)) for pair in asked.link)
    folders = {path: int(mode, 8) for mode, path in (pair.split(":", 1) for pair in asked.folder)}
    for path in [*files, *links]:
        while (path := os.path.dirname(path)) != "/":
            folders.setdefault(path, 0o755)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path in sorted(folders):
            archive.addfile(member(path, tarfile.DIRTYPE, folders[path]))
        for path in sorted(files):
            with open(files[path], "rb") as program:
                add(archive, path, program.read(), 0o755)
        for path in sorted(links.keys() - files.keys()):
            info = member(path, tarfile.SYMTYPE, 0o777)
            info.linkname = links[path]
            archive.addfile(info)
    return out.getvalue()


def main() -> None:
    asked = options()
    blobs: dict[str, bytes] = {}

    def blob(kind: str, data: bytes) -> dict:
        digest = hashlib.sha256(data).hexdigest()
        blobs[f"blobs/sha256/{digest}"] = data
        return {"mediaType": f"{OCI}.{kind}", "digest": f"sha256:{digest}", "size": len(data)}

    def text(value: object) -> bytes:
        return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()

    labels = dict(label.split("=", 1) for label in asked.label)
    files = blob("layer.v1.tar", layer(asked))
    config = {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()],
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": {"User": asked.user, "Env": ["PATH=/bin:/usr/bin"], "WorkingDir": "/", "Labels": labels},
        "rootfs": {"type": "layers", "diff_ids": [files["digest"]]},
        "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "scripts/image/archive.py"}],
    }
    if asked.entrypoint:
        config["config"]["Entrypoint"] = [asked.entrypoint]
    if asked.command:
        config["config"]["Cmd"] = [asked.command]
    described = blob("config.v1+json", text(config))
    content = {"schemaVersion": 2, "mediaType": f"{OCI}.manifest.v1+json", "config": described, "layers": [files]}
    if labels:
        content["annotations"] = labels
    manifest = blob("manifest.v1+json", text(content))
    manifest["annotations"] = {
        "io.containerd.image.name": asked.name,
        "org.opencontainers.image.ref.name": asked.name.rsplit(":", 1)[1],
    }
    path = {"config": f"blobs/sha256/{described['digest'][7:]}", "layer": f"blobs/sha256/{files['digest'][7:]}"}
    docker = [{"Config": path["config"], "RepoTags": [asked.name], "Layers": [path["layer"]]}]
    with tarfile.open(asked.output + ".new", mode="w", format=tarfile.USTAR_FORMAT) as archive:
        add(archive, "oci-layout", text({"imageLayoutVersion": "1.0.0"}))
        add(archive, "index.json", text({"schemaVersion": 2, "manifests": [manifest]}))
        add(archive, "manifest.json", text(docker))
        for name in sorted(blobs):
            add(archive, name, blobs[name])
    os.replace(asked.output + ".new", asked.output)
    print(manifest["digest"])


main()
