"""Archives as Python's zipfile writes them, for the zip view: python make_zips.py FOLDER"""
import io
import sys
import zipfile
from pathlib import Path

OUT = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
DAY = (1980, 1, 1, 0, 0, 0)


def info(name, method=zipfile.ZIP_STORED):
    i = zipfile.ZipInfo(name, DAY)
    i.compress_type = method
    return i


with zipfile.ZipFile(OUT / "zipfile.zip", "w") as z:
    z.writestr(info("stored"), b"plain bytes")
    z.writestr(info("deflated", zipfile.ZIP_DEFLATED), b"n" * 30000)
    z.writestr(info("empty"), b"")
    z.writestr(info("d\u00e4/"), b"")
    z.writestr(info("d\u00e4/\u00fc"), b"utf-8")
    z.comment = b"a comment"
with zipfile.ZipFile(OUT / "zipfile64.zip", "w") as z:
    with z.open(info("big"), "w", force_zip64=True) as f:
        f.write(b"zip64 without need")
    z.writestr(info("next"), b"x")


class Pipe(io.RawIOBase):
    """Cannot seek: zipfile then writes sizes and CRC behind the data."""

    def __init__(self):
        self.data = b""

    def writable(self):
        return True

    def write(self, b):
        self.data += bytes(b)
        return len(b)


pipe = Pipe()
with zipfile.ZipFile(pipe, "w") as z:
    z.writestr(info("s", zipfile.ZIP_DEFLATED), b"s" * 1000)
    z.writestr(info("t"), b"tail")
(OUT / "streamed.zip").write_bytes(pipe.data)
