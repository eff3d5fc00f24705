"""Archives for the tests."""

import io
import tarfile


def pack(path, content):
    """Write a tar archive of files, {name: bytes}, under exactly these names."""
    with tarfile.open(path, "w:gz") as archive:
        for name, data in content.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
