"""Small pictures of every kind that graft reads, and what is in them: pictures.txt holds a line for each,

    FILE HEIGHT WIDTH BANDS DEPTH CRC32      depth u8, u16 or f32; CRC32 of the bytes [height, width, bands], little-endian
    FILE refused TEXT                        TEXT is a part of the message

usage: python make_images.py      (made with Pillow 13.0, libjpeg-turbo 3.2 in it, tifffile 2026.3.3, imagecodecs 2026.3.6)
PNGs are written here, by the standard's own text, so that libpng is not its own judge, and Pillow reads those that it can; the pixels of a JPEG are what
Pillow says.
"""
import os
import struct
import zlib

import numpy as np
import tifffile
from PIL import Image

HERE = os.path.dirname(os.path.abspath(__file__))
LINES = []


def path(name):
    return os.path.join(HERE, name)


def golden(name, a):
    a = np.ascontiguousarray(a)
    if a.ndim == 2:
        a = a[:, :, None]
    kind = {"uint8": "u8", "uint16": "u16", "float32": "f32"}[a.dtype.name]
    LINES.append(f"{name} {a.shape[0]} {a.shape[1]} {a.shape[2]} {kind} {zlib.crc32(a.astype(a.dtype.newbyteorder('<')).tobytes())}")


def refused(name, text):
    LINES.append(f"{name} refused {text}")


def picture(h, w, bands, top, seed):
    """Waves and a little noise: something to compress, every band another."""
    y, x, b = np.meshgrid(np.arange(h), np.arange(w), np.arange(bands), indexing="ij")
    wave = 0.5 + 0.35 * np.sin(0.4 * x + 0.7 * b) * np.cos(0.3 * y - 0.2 * b)
    noise = np.random.default_rng(seed).uniform(-0.1, 0.1, wave.shape)
    return np.clip((wave + noise) * top, 0, top).astype(np.int64)


# ---- PNG ----

def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def packed_rows(samples, depth):
    """samples [h, w, channels] to rows of bytes, each row beginning anew."""
    h = samples.shape[0]
    flat = samples.reshape(h, -1)
    if depth == 16:
        return [r.astype(">u2").tobytes() for r in flat]
    if depth == 8:
        return [r.astype(np.uint8).tobytes() for r in flat]
    rows = []
    for r in flat:
        bits = "".join(format(int(v), f"0{depth}b") for v in r)
        bits += "0" * (-len(bits) % 8)
        rows.append(bytes(int(bits[i:i + 8], 2) for i in range(0, len(bits), 8)))
    return rows


def filtered(rows, pixel_bytes):
    """Each filter in turn."""
    out, before = b"", bytes(len(rows[0]))
    for k, row in enumerate(rows):
        kind = k % 5
        line = bytearray()
        for i, v in enumerate(row):
            a = row[i - pixel_bytes] if i >= pixel_bytes else 0
            b, c = before[i], before[i - pixel_bytes] if i >= pixel_bytes else 0
            p = a + b - c
            near = min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]
            line.append((v - (0, a, b, (a + b) // 2, near)[kind]) & 255)
        out += bytes([kind]) + bytes(line)
        before = row
    return out


def write_png(name, samples, depth, color, palette=None, transparent=None, interlaced=False):
    h, w, channels = samples.shape
    pixel_bytes = max(1, channels * depth // 8)
    if interlaced:
        data = b""
        for y0, x0, dy, dx in ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)):
            part = samples[y0::dy, x0::dx]
            if part.size:
                data += filtered(packed_rows(part, depth), pixel_bytes)
    else:
        data = filtered(packed_rows(samples, depth), pixel_bytes)
    body = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, depth, color, 0, 0, int(interlaced)))
    if palette is not None:
        body += chunk(b"PLTE", palette.astype(np.uint8).tobytes())
    if transparent is not None:
        body += chunk(b"tRNS", transparent)
    packed = zlib.compress(data, 9)
    body += chunk(b"IDAT", packed[:40]) + chunk(b"IDAT", packed[40:]) + chunk(b"tEXt", b"Comment\0of no matter") + chunk(b"IEND", b"")
    with open(path(name), "wb") as f:
        f.write(body)


def png(name, depth, color, h=9, w=13, trns=False, interlaced=False, seed=1):
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[color]
    top = (1 << depth) - 1
    s = picture(h, w, channels, top, seed)
    palette = transparent = None
    kind = np.uint16 if depth == 16 else np.uint8
    if color == 3:
        palette = picture(1, min(top + 1, 200), 3, 255, 5)[0]
        s = np.minimum(s, len(palette) - 1)
        pixels = palette[s[:, :, 0]]
        if trns:  # shorter than the palette: the rest is opaque
            alpha = np.arange(len(palette) // 2) * 2
            transparent = alpha.astype(np.uint8).tobytes()
            whole = np.full(len(palette), 255)
            whole[:len(alpha)] = alpha
            pixels = np.concatenate([pixels, whole[s]], 2)
    else:
        pixels = s * (255 // top) if depth < 8 else s
        if trns:
            key = s[4, 5]
            transparent = b"".join(struct.pack(">H", int(v)) for v in key)
            alpha = np.where((s == key).all(2, keepdims=True), 0, 65535 if depth == 16 else 255)
            pixels = np.concatenate([pixels, alpha], 2)
    write_png(name, s, depth, color, palette, transparent, interlaced)
    golden(name, pixels.astype(kind))
    if depth == 8 or (depth < 8 and not (trns and color == 0)):  # Pillow as a second reader; its key of 1 to 4 bit is not widened with the gray
        image = Image.open(path(name))
        modes = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
        read = np.asarray(image.convert(modes[pixels.shape[2]])).reshape(pixels.shape)
        assert (read == pixels).all(), name


for depth in (1, 2, 4, 8, 16):
    png(f"gray{depth}.png", depth, 0)
png("gray8_alpha.png", 8, 4)
png("gray16_alpha.png", 16, 4)
png("rgb8.png", 8, 2)
png("rgb16.png", 16, 2)
png("rgba8.png", 8, 6)
png("rgba16.png", 16, 6)
for depth in (1, 2, 4, 8):
    png(f"palette{depth}.png", depth, 3)
png("palette4_alpha.png", 4, 3, trns=True)
png("gray2_key.png", 2, 0, trns=True)
png("gray16_key.png", 16, 0, trns=True)
png("rgb8_key.png", 8, 2, trns=True)
png("rgb8_interlaced.png", 8, 2, interlaced=True)
png("gray1_interlaced.png", 1, 0, interlaced=True)
png("palette4_interlaced.png", 4, 3, interlaced=True, trns=True)
png("rgba16_interlaced.png", 16, 6, h=3, w=2, interlaced=True)  # some passes are empty
write_png("one.png", np.full((1, 1, 1), 77), 8, 0)
golden("one.png", np.full((1, 1), 77, np.uint8))


# ---- JPEG ----

def jpeg(name, bands, **options):
    a = picture(21, 33, bands, 255, 2).astype(np.uint8)
    Image.fromarray(a[:, :, 0] if bands == 1 else a, {1: "L", 3: "RGB", 4: "CMYK"}[bands]).save(path(name), **options)
    read = np.asarray(Image.open(path(name)))
    golden(name, 255 - read if bands == 4 else read)  # Pillow turns Adobe's CMYK round; graft gives what is stored


jpeg("gray.jpg", 1, quality=80)
jpeg("rgb_420.jpg", 3, quality=80, subsampling="4:2:0")
jpeg("rgb_422.jpg", 3, quality=80, subsampling="4:2:2")
jpeg("rgb_444.jpg", 3, quality=90, subsampling="4:4:4")
jpeg("rgb_progressive.jpg", 3, quality=80, progressive=True)
jpeg("rgb_restarts.jpg", 3, quality=80, restart_marker_rows=1)
jpeg("cmyk.jpg", 4, quality=80)


# ---- TIFF ----

def tiff(name, a, **options):
    tifffile.imwrite(path(name), a, metadata=None, software=False, **options)


def kinds(bands, kind, h=21, w=37):
    if kind == "f32":
        return (picture(h, w, bands, 1000, 3) / 300.0 - 1).astype(np.float32)
    return picture(h, w, bands, 255 if kind == "u8" else 65535, 3).astype(np.uint8 if kind == "u8" else np.uint16)


def both(name, a, **options):
    tiff(name, a, **options)
    golden(name, a)


both("gray8.tif", kinds(1, "u8")[:, :, 0], photometric="minisblack")
both("gray16_big_endian.tif", kinds(1, "u16")[:, :, 0], photometric="minisblack", byteorder=">")
both("float_big_endian.tif", kinds(1, "f32")[:, :, 0], photometric="minisblack", byteorder=">", rowsperstrip=4)
both("rgb8_bigtiff.tif", kinds(3, "u8"), photometric="rgb", bigtiff=True, rowsperstrip=8)
both("rgb16_lzw.tif", kinds(3, "u16"), photometric="rgb", compression="lzw", predictor=2, rowsperstrip=10)
both("five8.tif", kinds(5, "u8"), photometric="minisblack", planarconfig="contig", extrasamples=["unspecified"] * 4, rowsperstrip=5)
five = kinds(5, "u16", 11, 13)
tiff("five16_planes.tif", five.transpose(2, 0, 1), photometric="minisblack", planarconfig="separate", extrasamples=["unspecified"] * 4, rowsperstrip=4)
golden("five16_planes.tif", five)
both("rgb8_tiles.tif", kinds(3, "u8"), photometric="rgb", tile=(16, 16), compression="deflate")
tiled = kinds(3, "f32", 17, 33)
tiff("float3_tiles_planes.tif", tiled.transpose(2, 0, 1), photometric="rgb", planarconfig="separate", tile=(16, 32), compression="zlib", predictor=3)
golden("float3_tiles_planes.tif", tiled)
both("gray8_packbits.tif", kinds(1, "u8")[:, :, 0], photometric="minisblack", compression="packbits", rowsperstrip=6)
both("gray16_zstd.tif", kinds(1, "u16")[:, :, 0], photometric="minisblack", compression="zstd")
both("float_deflate.tif", kinds(1, "f32")[:, :, 0], photometric="minisblack", compression="deflate", predictor=3)
both("cmyk8.tif", kinds(4, "u8"), photometric="separated", planarconfig="contig")
both("one.tif", np.full((1, 1), 0.25, np.float32), photometric="minisblack")
white = kinds(1, "u8")[:, :, 0]
tiff("white_is_zero.tif", white, photometric="miniswhite")
golden("white_is_zero.tif", 255 - white)
pages = np.stack([kinds(1, "u8", 5, 6)[:, :, 0], 255 - kinds(1, "u8", 5, 6)[:, :, 0]])
tiff("two_pages.tif", pages, photometric="minisblack")
golden("two_pages.tif", pages[0])

bits = picture(21, 37, 1, 1, 4)[:, :, 0].astype(bool)
bits ^= np.random.default_rng(7).uniform(size=bits.shape) < 0.3
for name, compression in (("bits_plain.tif", None), ("bits_group4.tif", "group4")):
    Image.fromarray(bits).save(path(name), compression=compression)
    golden(name, bits.astype(np.uint8) * 255)
    assert (np.asarray(Image.open(path(name))) == bits).all()
colours = Image.fromarray(kinds(3, "u8", 11, 13)).quantize(20)
colours.save(path("palette8.tif"))
golden("palette8.tif", np.asarray(colours.convert("RGB")))
deep = np.arange(768, dtype=np.uint16).reshape(3, 256) * 81  # a palette that needs its 16 bits
index = kinds(1, "u8", 11, 13)[:, :, 0]
tiff("palette16.tif", index, photometric="palette", colormap=deep)
golden("palette16.tif", deep.T[index])
Image.fromarray(kinds(3, "u8")).save(path("rgb_jpeg.tif"), compression="jpeg", quality=90)
golden("rgb_jpeg.tif", np.asarray(Image.open(path("rgb_jpeg.tif"))))

for name, kind, text in (("int16.tif", np.int16, "signed integers of 16 bit"), ("uint32.tif", np.uint32, "integers of 32 bit"),
                         ("half.tif", np.float16, "floats of 16 bit"), ("double.tif", np.float64, "floats of 64 bit"), ("complex.tif", np.complex64, "complex numbers of 64 bit")):
    tiff(name, np.arange(12).reshape(3, 4).astype(kind), photometric="minisblack")
    refused(name, text)
# 12 bit: two samples in three bytes, an image file directory written out
entries = [(256, 4, 8), (257, 4, 6), (258, 3, 12), (259, 3, 1), (262, 3, 1), (273, 4, 8), (277, 3, 1), (278, 4, 6), (279, 4, 72)]
with open(path("twelve.tif"), "wb") as f:
    f.write(struct.pack("<2sHI", b"II", 42, 80) + bytes(range(72)) + struct.pack("<H", len(entries)))
    for tag, kind, value in entries:
        f.write(struct.pack("<HHII", tag, kind, 1, value))
    f.write(bytes(4))
refused("twelve.tif", "integers of 12 bit")
tiff("lab.tif", kinds(3, "u8", 4, 5), photometric="cielab")
refused("lab.tif", "colours of kind 8")

with open(path("pictures.txt"), "w") as f:
    f.write("\n".join(LINES) + "\n")
