"""torchvision's answers for tests/data/transforms_test.cpp: python make.py writes colour.bin and policy.bin beside itself.

A record of colour.bin: int32 operation (index in OPS, or -1: the bytes are the picture that the next ones are the answers to), depth (0 u8, 2 f32), bands, height, width,
float64 parameter, bytes [h, w, bands].
policy.bin: int32 height, width, the picture; then records of int32 operation (index in POLICY), magnitude (of 30), negative, and the answer, all u8 [h, w, 3].
"""
import pathlib
import struct

import torch
import torchvision
import torchvision.transforms._functional_tensor as F
from torchvision.transforms import InterpolationMode
from torchvision.transforms.autoaugment import RandAugment, _apply_op

OPS = [F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue, lambda x, _: F.rgb_to_grayscale(x, 3), lambda x, _: F.invert(x),
       lambda x, p: F.posterize(x, int(p)), F.solarize, lambda x, _: F.equalize(x), lambda x, _: F.autocontrast(x), F.adjust_sharpness]
FACTORS = [0.0, 0.37, 1.0, 1.6]
PARAMETERS = [FACTORS, FACTORS, FACTORS, [-0.5, -0.21, 0.0, 0.13, 0.5], [0], [0], [1, 4, 7, 8], [0, 100.0, 255], [0], [0], FACTORS]
POLICY = ["Identity", "ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate", "Brightness", "Color", "Contrast", "Sharpness", "Posterize", "Solarize", "AutoContrast", "Equalize"]


def picture(h, w, bands, low=0, high=256):
    a = torch.randint(low, high, (bands, h, w), dtype=torch.uint8)
    a[:, : h // 4] = a[:1, : h // 4]  # grey pixels, which have no hue
    a[:, -1, : w // 2] = 255
    a[:, -1, w // 2 :] = 0
    return a


def layout(a):
    return a.permute(1, 2, 0).contiguous().numpy().tobytes()


def main():
    torch.manual_seed(7)
    here = pathlib.Path(__file__)
    out = bytearray()
    dull = picture(9, 11, 3)
    dull = dull // 4 + 60  # a narrow histogram
    for a in (picture(17, 12, 3), dull, picture(7, 40, 1), picture(2, 3, 3), torch.full((3, 5, 5), 90, dtype=torch.uint8)):
        for depth in (0, 2):
            x = a if depth == 0 else a.float() / 256
            out += struct.pack("<5id", -1, depth, *a.shape, 0) + layout(x)
            for i, op in enumerate(OPS):
                for p in PARAMETERS[i]:
                    if (i in (6, 8) and depth == 2) or (i in (2, 3, 4) and a.shape[0] != 3):
                        continue  # not defined there
                    if depth == 2 and i == 7:
                        p = p / 256
                    y = op(x.clone(), p)
                    assert y.dtype == x.dtype and y.shape == x.shape
                    out += struct.pack("<5id", i, depth, x.shape[0], x.shape[1], x.shape[2], p) + layout(y)
    here.with_name("colour.bin").write_bytes(out)
    size = len(out)
    a = picture(21, 34, 3)
    out = bytearray(struct.pack("<2i", 21, 34) + layout(a))
    for magnitude in (9, 10, 30):
        space = RandAugment()._augmentation_space(31, (21, 34))
        assert list(space) == POLICY
        for i, name in enumerate(POLICY):
            values, signed = space[name]
            m = float(values[magnitude]) if values.ndim > 0 else 0.0
            for negative in (0, 1) if signed else (0,):
                y = _apply_op(a.clone(), name, -m if negative else m, interpolation=InterpolationMode.NEAREST, fill=None)
                out += struct.pack("<3i", i, magnitude, negative) + layout(y)
    here.with_name("policy.bin").write_bytes(out)
    print("torchvision", torchvision.__version__, size, len(out), "bytes")


main()
