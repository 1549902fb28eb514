# SPDX-License-Identifier: MIT
"""XXH64, as its specification describes it."""
import struct

MASK = (1 << 64) - 1
P1, P2, P3, P4, P5 = (
    0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9,
    0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5)


def rotate(x, n):
    return ((x << n) | (x >> (64 - n))) & MASK


def one_round(acc, lane):
    return rotate((acc + lane * P2) & MASK, 31) * P1 & MASK


def xxh64(data, seed=0):
    n, at = len(data), 0
    if n >= 32:
        acc = [(seed + P1 + P2) & MASK, (seed + P2) & MASK, seed,
               (seed - P1) & MASK]
        for lanes in struct.iter_unpack("<4Q", data[:n & ~31]):
            acc = [one_round(a, b) for a, b in zip(acc, lanes)]
        at = n & ~31
        h = sum(rotate(a, r) for a, r in zip(acc, (1, 7, 12, 18))) & MASK
        for a in acc:
            h = ((h ^ one_round(0, a)) * P1 + P4) & MASK
    else:
        h = (seed + P5) & MASK
    h = (h + n) & MASK
    while n - at >= 8:
        lane, = struct.unpack_from("<Q", data, at)
        h = (rotate(h ^ one_round(0, lane), 27) * P1 + P4) & MASK
        at += 8
    if n - at >= 4:
        lane, = struct.unpack_from("<I", data, at)
        h = (rotate(h ^ lane * P1 & MASK, 23) * P2 + P3) & MASK
        at += 4
    for byte in data[at:]:
        h = rotate(h ^ byte * P5 & MASK, 11) * P1 & MASK
    h = (h ^ h >> 33) * P2 & MASK
    h = (h ^ h >> 29) * P3 & MASK
    return h ^ h >> 32
