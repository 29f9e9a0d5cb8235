"""Pillow's answers for tests/data/resize_test.cpp: python make.py writes u8.bin, u16.bin and f32.bin beside itself.

The pictures are not in the file: both sides make them from the same counter (noise() here, the same lines in the test). A record is little-endian:
int32 depth (0 u8, 1 u16, 2 f32), bands, height, width, new height, new width, filter, then float32 x0, y0, x1, y1 of the source box, then the result's bytes [h, w, bands].
"""
import pathlib
import struct

import numpy as np
import PIL
from PIL import Image

FILTERS = [Image.NEAREST, Image.BOX, Image.BILINEAR, Image.HAMMING, Image.BICUBIC, Image.LANCZOS]


def noise(n):
    i = np.arange(n, dtype=np.uint64)
    x = (i * np.uint64(2654435761) + np.uint64(12345)) & np.uint64(0xFFFFFFFF)
    x ^= x >> np.uint64(15)
    x = (x * np.uint64(2246822519)) & np.uint64(0xFFFFFFFF)
    x ^= x >> np.uint64(13)
    return x.astype(np.uint32)


def picture(depth, h, w, bands):
    x = noise(h * w * bands).reshape(h, w, bands)
    if depth == 0:
        # hard black and white on a third of the pixels: where the lobes of bicubic and lanczos leave the range
        v = (x & 255).astype(np.uint8)
        return np.where(x % 3 == 0, np.where(v < 128, 0, 255), v).astype(np.uint8)
    if depth == 1:
        v = (x & 65535).astype(np.uint16)
        return np.where(x % 3 == 0, np.where(v < 32768, 0, 65535), v).astype(np.uint16)
    return ((x >> 8).astype(np.float32) * np.float32(2.0**-24)).astype(np.float32)


def resized(depth, a, nh, nw, f, box):
    bands = a.shape[2]
    out = []
    if depth == 0 and bands in (3, 4):  # CMYK: four bands that Pillow does not multiply by an alpha
        im = Image.fromarray(a, "RGB" if bands == 3 else "CMYK")
        return np.asarray(im.resize((nw, nh), f, box))
    for b in range(bands):
        band = np.ascontiguousarray(a[:, :, b])
        if depth == 1 and f == Image.NEAREST:
            # Pillow's I;16 finds the nearest pixel by another sum than its other modes, and rounds ties otherwise; here all depths follow the others, so that masks agree.
            out.append(np.asarray(Image.fromarray(band.astype(np.int32)).resize((nw, nh), f, box)).astype(np.uint16))
            continue
        im = Image.fromarray(band)
        assert im.mode == ["L", "I;16", "F"][depth]
        out.append(np.asarray(im.resize((nw, nh), f, box)))
    return np.stack(out, -1)


def main():
    sizes = [(1, 1, 1, 1), (1, 1, 5, 3), (7, 5, 1, 1), (16, 16, 8, 8), (16, 16, 16, 7), (16, 16, 7, 16), (9, 13, 14, 21), (31, 20, 13, 9), (40, 3, 11, 4),
             (250, 2, 9, 5), (12, 12, 12, 12)]
    boxes = [(20, 23, 9, 11, (1.5, 2.25, 20.75, 18.0)), (20, 23, 12, 30, (3, 4, 15, 19)), (20, 23, 6, 5, (3, 4, 8, 10)), (20, 23, 20, 23, (0.5, 0, 23, 20)),
             (8, 8, 16, 16, (2.1, 3.3, 2.9, 7.7))]
    cases = [(h, w, nh, nw, (0, 0, w, h)) for h, w, nh, nw in sizes] + boxes
    for depth, name, counts in ((0, "u8", (1, 2, 3, 4)), (1, "u16", (1, 3)), (2, "f32", (1, 3))):
        out = bytearray()
        for bands in counts:
            for n, (h, w, nh, nw, box) in enumerate(cases):
                if bands != (3 if depth == 0 else 1) and n % 3:  # one number of bands sees every case, the others a third
                    continue
                a = picture(depth, h, w, bands)
                for i, f in enumerate(FILTERS):
                    r = resized(depth, a, nh, nw, f, box)
                    assert r.shape == (nh, nw, bands) and r.dtype == a.dtype
                    out += struct.pack("<7i4f", depth, bands, h, w, nh, nw, i, *box) + r.tobytes()
        pathlib.Path(__file__).with_name(name + ".bin").write_bytes(out)
        print("Pillow", PIL.__version__, name, len(out), "bytes")


main()
