#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Derives the coefficients of the elementary functions: prints kernels/src/arch/coefficients.h.

Each function is a polynomial times and plus exact things; its coefficients minimise the largest weighted error (the
Remez exchange, on a fixed grid, in 40 digits, so that every machine prints the same). They are then rounded one by
one, the most influential first, and the ones not yet rounded are fitted again, so that they make up for the rounding.

    python tools/fit_elementary.py > kernels/src/arch/coefficients.h
    python tools/fit_elementary.py --check kernels/src/arch/coefficients.h
"""

import argparse
import struct
import sys

from mpmath import cos, erf, erfc, expm1, fabs, inf, log, lu_solve, matrix, mp, mpf, pi, sin, sqrt

mp.dps = 40
GRID = 400


def grid(low, high):
    """Chebyshev points of [low, high], which crowd at the ends as the extrema of an error do."""
    middle, half = (mpf(low) + high) / 2, (mpf(high) - low) / 2
    return [middle - half * cos(pi * (2 * i + 1) / (2 * GRID)) for i in range(GRID)]


def extrema(errors, count):
    """Indices of `count` alternating extrema of a sampled error: the best run of neighbours of opposite sign."""
    picked = []
    for i, e in enumerate(errors):
        if picked and (errors[picked[-1]] > 0) == (e > 0):
            if fabs(e) > fabs(errors[picked[-1]]):
                picked[-1] = i
        else:
            picked.append(i)
    while len(picked) > count:
        picked.pop(0 if fabs(errors[picked[0]]) < fabs(errors[picked[-1]]) else -1)
    return picked


def minimax(points, values, weights, powers):
    """Coefficients c of sum c[p] * x**p, p in powers, with the least max |weight * (sum - value)|, and that error."""
    n = len(powers)
    if n == 0:
        return {}, max(fabs(w * v) for v, w in zip(values, weights))
    reference = [(2 * i + 1) * len(points) // (2 * (n + 1)) for i in range(n + 1)]
    best, worst = None, inf
    for _ in range(40):
        a, b = matrix(n + 1, n + 1), matrix(n + 1, 1)
        for row, i in enumerate(reference):
            for column, p in enumerate(powers):
                a[row, column] = points[i] ** p
            a[row, n] = (-1) ** row / weights[i]
            b[row] = values[i]
        solution = lu_solve(a, b)
        c = {p: solution[column] for column, p in enumerate(powers)}
        errors = [w * (sum(c[p] * x**p for p in powers) - v) for x, v, w in zip(points, values, weights)]
        largest = max(fabs(e) for e in errors)
        if largest < worst:
            best, worst = c, largest
        picked = extrema(errors, n + 1)
        if picked == reference or len(picked) < n + 1:
            break
        reference = picked
    return best, worst


def to_float32(x):
    return mpf(struct.unpack("<f", struct.pack("<f", float(x)))[0])


def fit(low, high, target, weight, powers, single=True):
    """Rounded coefficients by power, and the largest weighted error with them. Floats, or doubles unless `single`."""
    points = [x for x in grid(low, high) if x != 0]
    weights = [fabs(weight(x)) for x in points]
    remaining = [target(x) for x in points]
    rounded, left = {}, list(powers)
    while left:
        # Divided by x**p, which is 0 inside some intervals: the exchange wants functions without a common zero.
        p = left[0]
        c, _ = minimax(points, [v / x**p for x, v in zip(points, remaining)],
                       [w * fabs(x) ** p for x, w in zip(points, weights)], [q - p for q in left])
        left.pop(0)
        rounded[p] = to_float32(c[0]) if single else mpf(float(c[0]))
        remaining = [v - rounded[p] * x**p for x, v in zip(points, remaining)]
    return rounded, max(fabs(w * v) for v, w in zip(remaining, weights))


HALF_LN2 = mpf("0.3475")  # ln 2 / 2 = 0.34657 and what rounding in the reduction can add
HALF = mpf("0.5")
QUARTER_PI = mpf("0.7865")  # pi / 4 = 0.78540, likewise
SQRT2_S = mpf("0.1716")  # (sqrt(2) - 1) / (sqrt(2) + 1)
ERF_SPLIT = mpf("0.925")
ERF_END = mpf("4.0")



def log_ratio(w):
    """log((1 + s) / (1 - s)) / s, s = sqrt(w)."""
    s = sqrt(w)
    return log((1 + s) / (1 - s)) / s


# name; what it is; low, high; target, weight; powers; float32
FITS = [
    ("EXPM1", "(e**y - 1 - y) / y**2 for |y| <= 0.3475; relative error of e**y - 1",
     -HALF_LN2, HALF_LN2, lambda y: (expm1(y) - y) / y**2, lambda y: y**2 / expm1(y), range(5), True),
    ("EXP2", "(2**f - 1) / f for |f| <= 0.5; relative error of 2**f",
     -HALF, HALF, lambda f: (mpf(2) ** f - 1) / f, lambda f: f / mpf(2) ** f, range(5), True),
    ("LOG", "(log((1 + s) / (1 - s)) / s - 2) / s**2 in powers of s**2 for |s| <= 0.1716; relative error of the log",
     mpf(0), SQRT2_S**2, lambda w: (log_ratio(w) - 2) / w, lambda w: w / 2, range(4), True),
    ("SIN", "(sin r - r) / r**3 in powers of r**2 for |r| <= 0.7865; relative error of sin r",
     mpf(0), QUARTER_PI**2, lambda w: (sin(sqrt(w)) - sqrt(w)) / sqrt(w) ** 3, lambda w: w * sqrt(w) / sin(sqrt(w)),
     range(3), True),
    ("COS", "(cos r - 1 + r**2 / 2) / r**4 in powers of r**2 for |r| <= 0.7865; relative error of cos r",
     mpf(0), QUARTER_PI**2, lambda w: (cos(sqrt(w)) - 1 + w / 2) / w**2, lambda w: w**2 / cos(sqrt(w)),
     range(3), True),
    ("ERF", "erf(x) / x - 1 in powers of x**2 for |x| <= 0.925; relative error of erf x",
     mpf(0), ERF_SPLIT**2, lambda w: erf(sqrt(w)) / sqrt(w) - 1, lambda w: sqrt(w) / erf(sqrt(w)), range(7), True),
    ("ERFC", "log2(1 - erf(x)) for 0.925 <= x <= 4; absolute error of erf x",
     ERF_SPLIT, ERF_END, lambda x: log(erfc(x), 2), lambda x: erfc(x) * log(2), range(8), True),
    ("POW_LOG2", "log2((1 + s) / (1 - s)) / s in powers of s**2 for |s| <= 0.1716, in double; relative error",
     mpf(0), SQRT2_S**2, lambda w: log_ratio(w) / log(2), lambda w: log(2) / log_ratio(w), range(6), False),
    ("POW_EXP2", "(2**f - 1) / f for |f| <= 0.5, in double; relative error of 2**f",
     -HALF, HALF, lambda f: (mpf(2) ** f - 1) / f, lambda f: f / mpf(2) ** f, range(8), False),
]


def split(name, what, value, bits):
    """A constant as a sum of floats with `bits` bits each, so that small integers times the first ones are exact."""
    lines = [f"// {what}"]
    for index, width in enumerate(bits):
        if width == 24:
            part = to_float32(value)
        else:
            unit = mpf(2) ** (int(mp.floor(log(value, 2))) + 1 - width)
            part = mp.floor(value / unit) * unit
        lines.append(f"#define TRN_{name}_{index} {hexadecimal(part)}f")
        value -= part
    return lines


def hexadecimal(x):
    """As float.hex, without trailing zeros."""
    mantissa, exponent = float(x).hex().split("p")
    return f"{mantissa.rstrip('0')}p{exponent}"


def header():
    lines = [
        "// SPDX-License-Identifier: Apache-2.0",
        "// The coefficients of the elementary functions. Printed by tools/fit_elementary.py: change them there.",
        "#ifndef TRN_COEFFICIENTS_H",
        "#define TRN_COEFFICIENTS_H",
        "",
    ]
    for name, what, low, high, target, weight, powers, single in FITS:
        c, error = fit(low, high, target, weight, powers, single)
        lines.append(f"// {what}: 2**{float(log(error, 2)):.1f}")
        lines += [f"#define TRN_{name}_{p} {hexadecimal(c[p])}{'f' if single else ''}" for p in powers]
        lines.append("")
    what = "ln 2; the first part has 15 bits, so that an exponent times it is exact"
    lines += [*split("LN2", what, log(2), [15, 24]), ""]
    what = "pi / 2; the first three parts have 11 bits, so that an integer below 2**13 times them is exact"
    lines += [*split("HALF_PI", what, pi / 2, [11, 11, 11, 24]), ""]
    with mp.workdps(80):
        words = int(mp.floor(2 / mp.pi * mpf(2) ** 224))
    lines.append("// 2 / pi: a word before the point and 224 bits behind it, the highest word first.")
    lines.append("#define TRN_TWO_OVER_PI \\")
    lines.append("    {" + ", ".join(f"0x{words >> shift & 0xFFFFFFFF:08x}u" for shift in range(224, -1, -32)) + "}")
    return "\n".join([*lines, "", "#endif", ""])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", metavar="FILE", help="compare FILE with what would be printed")
    file = parser.parse_args().check
    text = header()
    if file is None:
        sys.stdout.write(text)
        return 0
    with open(file, encoding="utf-8") as stream:
        if stream.read() == text:
            return 0
    print(f"{file} differs from what {sys.argv[0]} prints: run it again", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
