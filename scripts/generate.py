"""Generate the Python stubs of `proto/` into `clients/python/`.

The stubs are committed so that a clone works without a generator; `make check` fails when they differ from the
protos. With `--check DIR` nothing is written to the tree: the stubs go to DIR and are compared.
"""

from __future__ import annotations

import filecmp
import shutil
import sys
import tempfile
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "clients" / "python"
PACKAGES = ("entente", "buf")


def generate(target: Path) -> None:
    """Write stubs, type stubs and package markers of every proto below `target`."""
    protos = sorted(str(path.relative_to(ROOT / "proto")) for path in (ROOT / "proto").rglob("*.proto"))
    well_known = Path(protoc.__file__).parent / "_proto"
    code = protoc.main(
        [
            "protoc",
            f"-I{ROOT / 'proto'}",
            f"-I{well_known}",
            f"--python_out={target}",
            f"--mypy_out=quiet:{target}",
            f"--grpc_python_out={target}",
            f"--mypy_grpc_out=quiet:{target}",
            *protos,
        ]
    )
    if code != 0:
        raise SystemExit("protoc failed; its message is above")
    for package in PACKAGES:
        for folder in [target / package, *[p for p in (target / package).rglob("*") if p.is_dir()]]:
            (folder / "__init__.py").touch()
    for stub in target.rglob("*_pb2_grpc.py*"):
        # A file without a service has nothing to say to gRPC.
        if (
            not (ROOT / "proto" / stub.relative_to(target))
            .with_name(stub.name.replace("_pb2_grpc.pyi", ".proto").replace("_pb2_grpc.py", ".proto"))
            .read_text(encoding="utf-8")
            .count("\nservice ")
        ):
            stub.unlink()


def differences(left: Path, right: Path) -> list[str]:
    """Paths that are in one tree only or differ."""
    compare = filecmp.dircmp(left, right, ignore=["__pycache__"])
    found = [str(left / name) for name in compare.left_only + compare.diff_files]
    found += [str(right / name) for name in compare.right_only]
    for name in compare.common_dirs:
        found += differences(left / name, right / name)
    return found


def main() -> None:
    """Generate, or with `--check` compare."""
    with tempfile.TemporaryDirectory() as scratch:
        fresh = Path(scratch)
        generate(fresh)
        if "--check" in sys.argv[1:]:
            found = [d for package in PACKAGES for d in differences(TARGET / package, fresh / package)]
            if found:
                raise SystemExit("generated code differs from proto/: run `make proto`\n" + "\n".join(found))
            return
        for package in PACKAGES:
            shutil.rmtree(TARGET / package, ignore_errors=True)
            shutil.copytree(fresh / package, TARGET / package)


if __name__ == "__main__":
    main()
